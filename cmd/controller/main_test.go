package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// INST-14: whatever calls methods by names that are not constant, as text/template does, has the linker keep every exported
// method of every dependency: 20 MiB that each replica maps.
func TestTheLinkerLeavesOutWhatIsNotCalled(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "controller")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	symbols, err := exec.CommandContext(t.Context(), "go", "tool", "nm", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(symbols), " main.main\n") {
		t.Fatal("these are not the program's symbols")
	}
	for _, unwanted := range []string{"text/template.(*state).evalField\n", "helm.sh/helm"} {
		if strings.Contains(string(symbols), unwanted) {
			t.Errorf("the program has %s", unwanted)
		}
	}
}
