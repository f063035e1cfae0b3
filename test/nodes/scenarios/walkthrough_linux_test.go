package scenarios

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/linkspan/linkspan/test/nodes"
)

// "I follow the walkthrough, and every command of it works" (DOC-1, DOC-2, INST-1). The commands are read from the page.
func TestIFollowTheWalkthrough(t *testing.T) {
	takesAway(t)
	w := theWorld(t)
	before := w.objects(t)
	shown := 0
	for _, block := range w.walkthrough(t) {
		t.Logf("docs/walkthrough.md:%d %s", block.Line, block.Heading)
		out := w.sh(t, block.Script)
		if strings.Contains(block.Script, "mirror check") && strings.Contains(out, "×") {
			t.Errorf("the check at line %d is not green:\n%s", block.Line, out)
		}
		if strings.Contains(block.Script, "mirror gateways") {
			shown++
			if err := alive(out, "east"); err != nil {
				t.Errorf("mirror gateways at line %d: %v", block.Line, err)
			}
		}
	}
	if shown == 0 {
		t.Error("the walkthrough shows no gateways any more")
	}
	w.expectNothingLeft(t, before)
}

// alive is an error unless mirror gateways shows the gateway of a cluster as alive.
func alive(out, cluster string) error {
	for line := range strings.Lines(out) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == cluster && words[1] == "True" {
			return nil
		}
	}
	return fmt.Errorf("the gateway of %s is not alive:\n%s", cluster, out)
}

func TestOnlyAGatewayThatIsAliveIs(t *testing.T) {
	const heads = "CLUSTER  ALIVE  NUM_SVC  LATENCY\n"
	for out, want := range map[string]bool{
		heads + "east     True   0        2ms\n":          true,
		heads + "east     False  0        -\n":            false,
		heads + "west     True   0        2ms\n":          false,
		heads:                                             false,
		"NAME   CLUSTER   READY\neast   east      True\n": false,
	} {
		if err := alive(out, "east"); (err == nil) != want {
			t.Errorf("alive: %v, want %t", err, want)
		}
	}
}

// kinds are those that anything of ours could be. Kubernetes makes and removes objects of its own as it goes: leases of
// nodes and EndpointSlices have names by chance, but no cluster has more of them after than before.
const kinds = "crd,namespace,clusterrole,clusterrolebinding,validatingadmissionpolicy,validatingadmissionpolicybinding," +
	"service,endpointslice,deployment,pod,configmap,secret,serviceaccount,role,rolebinding,lease,networkpolicy,poddisruptionbudget"

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
			if left := beyond(before[c.Name()], now); len(left) > 0 {
				return fmt.Errorf("cluster %s is left with\n%s", c.Name(), strings.Join(left, ""))
			}
			return nil
		})
	})
}

// beyond are those of now that were not there before, or not as often.
func beyond(before, now []string) (more []string) {
	count := map[string]int{}
	for _, name := range before {
		count[name]++
	}
	for _, name := range now {
		if count[name]--; count[name] < 0 {
			more = append(more, name)
		}
	}
	return more
}

// Names by chance are cut to what is the same of them, so it is counted how many there are.
func TestASecondOneOfAKindIsLeft(t *testing.T) {
	before := []string{"Pod a web-", "Service a web"}
	now := []string{"Pod a web-", "Pod a web-", "Service a web"}
	if diff := cmp.Diff([]string{"Pod a web-"}, beyond(before, now)); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	if left := beyond(now, before); len(left) > 0 {
		t.Errorf("of what was there before, %q is left", left)
	}
}
