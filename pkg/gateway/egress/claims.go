package egress

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/linkspan/linkspan/pkg/link"
)

const (
	// minPort is the lowest port that is listened on. Lower ones need a privilege, which we do without.
	minPort = 1024
	// maxClaims is the most ports that are read of one mirror. The service mirror makes none with more.
	maxClaims = 1000
)

// claim is a port of a mirror, and the egress port that the service mirror gave to it.
type claim struct {
	service, egress uint16
}

// parsePorts reads the annotation linkspan.io/egress-ports. What is malformed, out of range, or repeats
// a number on either side is left out, so that a slip of somebody's hand does not move the other ports;
// what was left out is said in faults. Empty text has no ports.
func parsePorts(text string) (claims []claim, faults []string) {
	if text == "" {
		return nil, nil
	}
	services, egresses := map[uint16]bool{}, map[uint16]bool{}
	for entry := range strings.SplitSeq(text, ",") {
		if len(claims) == maxClaims {
			return claims, append(faults, fmt.Sprintf("only the first %d ports are read", maxClaims))
		}
		c, err := parseClaim(entry)
		switch {
		case err != nil:
			faults = appendFault(faults, err.Error())
		case services[c.service] || egresses[c.egress]:
			faults = appendFault(faults, "entry "+quote(entry)+" repeats a port")
		default:
			services[c.service], egresses[c.egress] = true, true
			claims = append(claims, c)
		}
	}
	return claims, faults
}

// appendFault keeps what is said of one annotation short.
func appendFault(faults []string, what string) []string {
	const most = 3
	if len(faults) == most {
		return faults
	}
	return append(faults, what)
}

func parseClaim(entry string) (claim, error) {
	left, right, _ := strings.Cut(entry, "=")
	service, err := parsePort(left, 1)
	if err == nil {
		var egress uint16
		if egress, err = parsePort(right, minPort); err == nil {
			if slices.Contains(link.GatewayPorts(), egress) {
				return claim{}, fmt.Errorf("entry %s names a port that gateway pods listen on themselves", quote(entry))
			}
			return claim{service: service, egress: egress}, nil
		}
	}
	return claim{}, fmt.Errorf("entry %s must be <service port>=<egress port from %d to 65535>", quote(entry), minPort)
}

func parsePort(text string, least uint64) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err == nil && n < least {
		err = strconv.ErrRange
	}
	return uint16(n), err
}

// quote makes text of somebody else's fit for a log: quoted, and cut after 64 bytes.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
