package egress

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePorts(t *testing.T) {
	cases := map[string]struct {
		text   string
		want   []claim
		faults int
	}{
		"no text is no ports":                          {"", nil, 0},
		"one port":                                     {"80=20001", []claim{{80, 20001}}, 0},
		"two ports":                                    {"80=20001,443=20002", []claim{{80, 20001}, {443, 20002}}, 0},
		"the ends of both ranges":                      {"1=1024,65535=65535", []claim{{1, 1024}, {65535, 65535}}, 0},
		"a port that needs a privilege":                {"80=1023,443=20002", []claim{{443, 20002}}, 1},
		"a port that gateway pods have themselves":     {"80=4191,81=4143,443=20002", []claim{{443, 20002}}, 2},
		"a service port of zero":                       {"0=20001,443=20002", []claim{{443, 20002}}, 1},
		"an egress port beyond the last":               {"80=65536", nil, 1},
		"a service port beyond the last":               {"65536=20001", nil, 1},
		"no equals sign":                               {"80", nil, 1},
		"two equals signs":                             {"80=20001=3", nil, 1},
		"no egress port":                               {"80=", nil, 1},
		"no service port":                              {"=20001", nil, 1},
		"white space":                                  {"80=20001, 443=20002", []claim{{80, 20001}}, 1},
		"signs":                                        {"+80=20001,81=-1", nil, 2},
		"a comma at the end":                           {"80=20001,", []claim{{80, 20001}}, 1},
		"a service port twice: the first counts":       {"80=20001,80=20002", []claim{{80, 20001}}, 1},
		"an egress port twice: the first counts":       {"80=20001,81=20001", []claim{{80, 20001}}, 1},
		"what is wrong does not take what is right":    {"80=20001,x,443=20002", []claim{{80, 20001}, {443, 20002}}, 1},
		"what is said of a bad annotation is bounded":  {strings.Repeat("x,", 500), nil, 3},
		"text of somebody else's is quoted in a fault": {"\n=\x1b", nil, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, faults := parsePorts(c.text)
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(claim{})); diff != "" {
				t.Errorf("ports (-want +got):\n%s", diff)
			}
			if len(faults) != c.faults {
				t.Errorf("faults %q, want %d", faults, c.faults)
			}
			for _, fault := range faults {
				if strings.ContainsAny(fault, "\n\x1b") || len(fault) > 200 {
					t.Errorf("fault %q is not fit for a log", fault)
				}
			}
		})
	}
}

// The service mirror makes no mirror with more ports than that.
func TestParsePortsReadsSoManyAndNoMore(t *testing.T) {
	var text strings.Builder
	for i := range maxClaims + 1 {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(string(appendClaim(nil, claim{uint16(1 + i), uint16(minPort + i)})))
	}
	got, faults := parsePorts(text.String())
	if len(got) != maxClaims || len(faults) != 1 {
		t.Errorf("%d ports and faults %q, want %d and 1", len(got), faults, maxClaims)
	}
}

func FuzzParsePorts(f *testing.F) {
	for _, seed := range []string{"", "80=20001", "80=20001,443=20002", "80=80", ",", "=", "80=20001,80=20001", "65535=65535,1=1024"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		claims, faults := parsePorts(text)
		services, egresses := map[uint16]bool{}, map[uint16]bool{}
		var written []byte
		for _, c := range claims {
			if c.service < 1 || c.egress < minPort || services[c.service] || egresses[c.egress] {
				t.Errorf("%q gives %v", text, claims)
			}
			services[c.service], egresses[c.egress] = true, true
			if len(written) > 0 {
				written = append(written, ',')
			}
			written = appendClaim(written, c)
		}
		again, more := parsePorts(string(written))
		if diff := cmp.Diff(claims, again, cmp.AllowUnexported(claim{})); diff != "" || len(more) > 0 {
			t.Errorf("%q written as %q gives faults %q and (-want +got):\n%s", text, written, more, diff)
		}
		if len(faults) > 4 {
			t.Errorf("%d faults", len(faults))
		}
	})
}
