package rig

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseAuditCountsEachRequestOnce(t *testing.T) {
	for name, test := range map[string]struct {
		line   string
		counts bool
		want   string
	}{
		"write": {
			line:   `{"stage":"ResponseComplete","verb":"patch","objectRef":{"resource":"links","apiGroup":"multicluster.linkerd.io","subresource":"status"}}`,
			counts: true,
			want:   "patch links.multicluster.linkerd.io/status",
		},
		"watch starts": {
			line:   `{"stage":"ResponseStarted","verb":"watch","objectRef":{"resource":"services"},"responseStatus":{"code":200}}`,
			counts: true,
			want:   "watch services",
		},
		"watch ends":         {line: `{"stage":"ResponseComplete","verb":"watch","objectRef":{"resource":"services"},"responseStatus":{"code":200}}`},
		"long answer starts": {line: `{"stage":"ResponseStarted","verb":"get","requestURI":"/version"}`},
		"watch refused": {
			line:   `{"stage":"ResponseComplete","verb":"watch","objectRef":{"resource":"services"},"responseStatus":{"code":403}}`,
			counts: true,
			want:   "watch services",
		},
		"no resource": {
			line:   `{"stage":"ResponseComplete","verb":"get","requestURI":"/version?timeout=1s"}`,
			counts: true,
			want:   "get /version",
		},
	} {
		t.Run(name, func(t *testing.T) {
			request, counts, err := parseAudit([]byte(test.line))
			if err != nil {
				t.Fatal(err)
			}
			if counts != test.counts {
				t.Fatalf("counts: %v, want %v", counts, test.counts)
			}
			if counts {
				if diff := cmp.Diff(test.want, request.String()); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestParseAuditImpersonation(t *testing.T) {
	request, _, err := parseAudit([]byte(`{"stage":"ResponseComplete","user":{"username":"admin"},"impersonatedUser":{"username":"alice"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if request.User != "alice" {
		t.Errorf("user %q, want the impersonated one", request.User)
	}
	if _, _, err := parseAudit([]byte("{")); err == nil {
		t.Error("a torn line is accepted")
	}
}
