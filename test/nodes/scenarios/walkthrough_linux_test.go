package scenarios

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/linkspan/linkspan/test/nodes"
)

// "I follow the walkthrough, and every command of it works" (DOC-1, DOC-2, INST-1). The commands are read from the page.
func TestIFollowTheWalkthrough(t *testing.T) {
	w := theWorld(t)
	before := w.objects(t)
	w.cleanCertificates(t)
	t.Cleanup(func() { w.cleanCertificates(t) })
	for _, block := range w.walkthrough(t) {
		t.Logf("docs/walkthrough.md:%d %s", block.Line, block.Heading)
		out := w.sh(t, block.Script)
		if strings.Contains(block.Script, "mirror check") && strings.Contains(out, "×") {
			t.Errorf("the check at line %d is not green:\n%s", block.Line, out)
		}
	}
	w.expectNothingLeft(t, before)
}

// kinds are those that anything of ours could be. Kubernetes makes and removes objects of its own as it goes: leases of
// nodes and EndpointSlices have names by chance, but no cluster has more of them after than before.
const kinds = "crd,namespace,clusterrole,clusterrolebinding,validatingadmissionpolicy,validatingadmissionpolicybinding," +
	"service,endpointslice,deployment,pod,configmap,secret,role,rolebinding,lease,networkpolicy,poddisruptionbudget"

// objects are the names of all objects of these kinds, in both clusters.
func (w *world) objects(t *testing.T) map[string][]string {
	t.Helper()
	var mu sync.Mutex
	found := map[string][]string{}
	w.each(t, func(ctx context.Context, c *nodes.Cluster) error {
		names, err := objectsOf(ctx, c)
		mu.Lock()
		defer mu.Unlock()
		found[c.Name()] = names
		return err
	})
	return found
}

func objectsOf(ctx context.Context, c *nodes.Cluster) ([]string, error) {
	out, err := c.Kubectl(ctx, "get", kinds, "--all-namespaces", "--no-headers",
		"--output=custom-columns=:kind,:metadata.namespace,:metadata.name,:metadata.generateName")
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(out) {
		// Of what has its name by chance, such as a pod that was replaced, the first part says what it is.
		if words := strings.Fields(line); len(words) > 0 {
			if last := len(words) - 1; words[last] != "<none>" {
				words[last-1] = words[last]
			}
			names = append(names, strings.Join(words[:len(words)-1], " ")+"\n")
		}
	}
	slices.Sort(names)
	return names, nil
}

// expectNothingLeft waits until there is nothing that was not there before.
func (w *world) expectNothingLeft(t *testing.T, before map[string][]string) {
	t.Helper()
	w.each(t, func(ctx context.Context, c *nodes.Cluster) error {
		return within(ctx, gone, func(ctx context.Context) error {
			now, err := objectsOf(ctx, c)
			if err != nil {
				return err
			}
			left := slices.DeleteFunc(now, func(name string) bool { return slices.Contains(before[c.Name()], name) })
			if len(left) > 0 {
				return fmt.Errorf("cluster %s is left with\n%s", c.Name(), strings.Join(left, ""))
			}
			return nil
		})
	})
}
