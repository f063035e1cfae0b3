package check_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/linkspan/linkspan/internal/check"
)

// everything is each check once, in the order of the page.
func everything() []check.Check {
	var all []check.Check
	for _, c := range slices.Concat(check.All(), check.Pre(), check.Proxy(), check.CRDs()) {
		if !slices.ContainsFunc(all, func(known check.Check) bool { return known.ID == c.ID }) {
			all = append(all, c)
		}
	}
	return all
}

// Every check has its section in docs/checks.md, every section there is a check, and they come in the same order (CHK-2).
func TestEveryCheckIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/checks.md")
	if err != nil {
		t.Fatal(err)
	}
	var headed []string
	for _, match := range regexp.MustCompile("(?m)^### `([a-z-]+)`\n\n[^#\n]").FindAllStringSubmatch(string(page), -1) {
		headed = append(headed, match[1])
	}
	var ids []string
	for _, c := range everything() {
		ids = append(ids, c.ID)
		if !strings.HasSuffix(c.Hint(), "/docs/checks.md#"+c.ID) {
			t.Errorf("the hint of %s is %s", c.ID, c.Hint())
		}
		if !strings.Contains(string(page), "\n## "+string(c.Section)+"\n") {
			t.Errorf("docs/checks.md has no part ## %s", c.Section)
		}
	}
	if diff := cmp.Diff(ids, headed); diff != "" {
		t.Errorf("docs/checks.md and the checks differ (-checks +page):\n%s", diff)
	}
}

// A check is asked in one way, and needs only checks that come before it (CHK-3).
func TestChecksAreInOrder(t *testing.T) {
	t.Parallel()
	for name, checks := range map[string][]check.Check{"all": check.All(), "pre": check.Pre(), "proxy": check.Proxy(), "crds": check.CRDs()} {
		seen := map[string]bool{}
		for _, c := range checks {
			if (c.Run == nil) == (c.RunLink == nil) {
				t.Errorf("%s: %s must have one of Run and RunLink", name, c.ID)
			}
			for _, need := range c.Needs {
				if !seen[need] && name != "crds" { // a part of the whole: what it leaves out cannot fail
					t.Errorf("%s: %s needs %s, which does not come before it", name, c.ID, need)
				}
			}
			seen[c.ID] = true
		}
	}
}
