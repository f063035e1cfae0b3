package install

import (
	"fmt"
	"regexp"

	"k8s.io/apimachinery/pkg/util/version"
)

// development is what git describe appends between releases.
var development = regexp.MustCompile(`-\d+-g[0-9a-f]+|-dirty$`)

// IsRelease says whether images of a version are published.
func IsRelease(v string) bool {
	_, err := version.ParseSemantic(v)
	return err == nil && !development.MatchString(v)
}

// Skew compares the versions of a program and of an installation (CLI-4, UPG-1): an error for more
// than one major version between them, a warning for one. Builds that are no release are not compared.
func Skew(program, installed string) (warning string, err error) {
	if !IsRelease(program) || !IsRelease(installed) {
		return "", nil
	}
	a, b := version.MustParseSemantic(program), version.MustParseSemantic(installed)
	switch apart := max(a.Major(), b.Major()) - min(a.Major(), b.Major()); apart {
	case 0:
		return "", nil
	case 1:
		return fmt.Sprintf("Version %s is installed, and this is %s: read the release notes before you apply it.", installed, program), nil
	default:
		return "", fmt.Errorf("version %s is installed, and this is %s: use a program at most one major version away, and skip none", installed, program)
	}
}
