package install

import (
	"fmt"
	"regexp"

	"helm.sh/helm/v4/pkg/chart/common"
	"k8s.io/apimachinery/pkg/util/version"
)

// development is what git describe appends between releases.
var development = regexp.MustCompile(`-\d+-g[0-9a-f]+|-dirty$`)

// isRelease says whether images of a version are published.
func isRelease(v string) bool {
	_, err := version.ParseSemantic(v)
	return err == nil && !development.MatchString(v)
}

// checkImages refuses to render images that nobody has published.
func checkImages(version string, top common.Values) error {
	if isRelease(version) {
		return nil
	}
	values, err := top.Table("Values")
	if err != nil {
		return fmt.Errorf("reading the values: %w", err)
	}
	given := func(path string) bool {
		value, err := values.PathValue(path)
		return err == nil && value != ""
	}
	if given("image.tag") || given("image.digests.mirror") && given("image.digests.gateway") {
		return nil
	}
	return fmt.Errorf("this program is a development build (%s), whose images are not published: set image.registry and image.tag to images of yours (make images builds them), "+
		"or use a released program", version)
}

// Skew compares the versions of a program and of an installation (CLI-4, UPG-1): an error for more
// than one major version between them, a warning for one. Builds that are no release are not compared.
func Skew(program, installed string) (warning string, err error) {
	if !isRelease(program) || !isRelease(installed) {
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
