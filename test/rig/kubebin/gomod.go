package kubebin

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// moduleOf reads the module path out of a go.mod.
func moduleOf(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == "module" {
			return fields[1], nil
		}
	}
	return "", fmt.Errorf("%s: no module line", file)
}

// kubernetesVersion reads the exact version out of a tool module, so that it is written in one place.
func kubernetesVersion(module string) (string, error) {
	file := filepath.Join(module, "go.mod")
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the pinned version: %w", err)
	}
	required := regexp.MustCompile(`(?m)^(?:require)?\s*k8s\.io/kubernetes (v\d+\.\d+\.\d+\S*)`)
	found := required.FindStringSubmatch(string(text))
	if found == nil {
		return "", fmt.Errorf("%s: k8s.io/kubernetes is not required there", file)
	}
	return found[1], nil
}

// majorMinor cuts v1.36.3 into 1 and 36.
func majorMinor(version string) (major, minor string, err error) {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) != 3 {
		return "", "", fmt.Errorf("version %q is not of the form v1.2.3", version)
	}
	return parts[0], parts[1], nil
}
