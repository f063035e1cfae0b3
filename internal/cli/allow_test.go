package cli

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: -want +got:\n%s", name, diff)
	}
}

// LINK-10, LESSON-34: the account may do what a link needs, and nothing else.
func TestAllowGolden(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"allow.yaml":         "allow",
		"allow-linkerd.yaml": "allow --linkerd --service-account west --namespace remote --create-namespace",
		"allow-expiry.json":  "allow --token-expiry 24h -o json",
	}
	for name, args := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := runMirror(t, strings.Fields(args)...)
			if got.code != 0 || got.err == "" {
				t.Fatalf("%+v", got)
			}
			golden(t, name, got.out)
			if again := runMirror(t, strings.Fields(args)...); again.out != got.out {
				t.Error("LINK-2: two runs differ")
			}
		})
	}
}

// CLI-3: --client asks no cluster.
func TestVersionOfClient(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"version --client":         "Client version: v0.1.2\n",
		"version --client -o json": "{\n  \"client\": \"v0.1.2\"\n}\n",
		"version --client true":    "Client version: v0.1.2\n",
	} {
		got := runMirror(t, append(strings.Fields(args), "--kubeconfig", "/does/not/exist")...)
		if diff := cmp.Diff(result{out: want}, got, cmp.AllowUnexported(result{})); diff != "" {
			t.Errorf("%s: -want +got:\n%s", args, diff)
		}
	}
}
