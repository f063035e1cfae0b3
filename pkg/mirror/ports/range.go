package ports

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/linkspan/linkspan/pkg/link"
)

// The ports that an egress may listen on: below are those that need a privilege.
const (
	lowest  = 1024
	highest = 65535
)

// Range are the ports from Low to High, both included.
type Range struct {
	Low, High uint16
}

// ParseRange reads a range such as 20000-59999. Its ports are at least 1024. Those that a gateway pod listens
// on itself may be in it, and no mirror gets them; a range of nothing else is none.
func ParseRange(text string) (Range, error) {
	left, right, ok := strings.Cut(text, "-")
	low, errLow := strconv.ParseUint(left, 10, 16)
	high, errHigh := strconv.ParseUint(right, 10, 16)
	if !ok || errLow != nil || errHigh != nil || low < lowest || low > high {
		return Range{}, fmt.Errorf("%q is no range of ports: give the first and the last from %d to %d, such as 20000-59999", text, lowest, highest)
	}
	r := Range{Low: uint16(low), High: uint16(high)}
	if r.Size() == 0 {
		return Range{}, fmt.Errorf("%q has only ports that gateway pods listen on themselves: give others from %d to %d, such as 20000-59999", text, lowest, highest)
	}
	return r, nil
}

// Size is how many ports there are for mirrors.
func (r Range) Size() int {
	size := r.span()
	for _, port := range link.GatewayPorts() {
		if r.Low <= port && port <= r.High {
			size--
		}
	}
	return size
}

// span is how many ports there are, those of gateway pods included.
func (r Range) span() int { return int(r.High) - int(r.Low) + 1 }

// contains is true of the ports that a mirror may have. A gateway pod's own are left out.
func (r Range) contains(port uint16) bool {
	return port >= r.Low && port <= r.High && !slices.Contains(link.GatewayPorts(), port)
}
