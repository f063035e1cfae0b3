//go:build linux

package nodes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linkspan/linkspan/test/rig/kubebin"
)

// A kubelet that is newer than its API server is nothing that anybody may have, and shows nothing.
func TestControlPlanesFitTheNodes(t *testing.T) {
	assets := t.TempDir()
	if err := os.WriteFile(filepath.Join(assets, kubebin.ControllerManager), nil, 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ minor, assets, want string }{
		"as they are":            {"", "", ""},
		"asked for":              {kubebin.DefaultMinor, "", ""},
		"older":                  {"v1.34", "", "unset " + kubebin.EnvMinor},
		"programs, but not all":  {"", assets, "need " + kubebin.Kubectl + " too in " + kubebin.EnvAssets},
		"programs of no version": {"v1.34", assets, "need " + kubebin.Kubectl},
	} {
		t.Setenv(kubebin.EnvMinor, c.minor)
		t.Setenv(kubebin.EnvAssets, c.assets)
		err := fits()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
