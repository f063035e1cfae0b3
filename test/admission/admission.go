package admission

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/test/rig"
)

const (
	// namespace and account are what the chart renders the policy for, where nothing else is said.
	namespace = "linkerd-multicluster"
	account   = "linkspan"

	// patience is how long an API server may take to enforce a new policy: it looks for new ones each second.
	patience = time.Minute
	interval = 50 * time.Millisecond
)

// Accounts are those that a policy holds.
type Accounts struct {
	// Pattern matches their names, as CEL has regular expressions. Empty is the account that the chart names.
	Pattern string
	// Example is one of them.
	Example string
	// AllowNamespaces are namespaces that mirrors may be in although they run the cluster; the golden file allows none.
	AllowNamespaces []string
}

// TheChartsOwn is the account that the chart names.
func TheChartsOwn() Accounts {
	return Accounts{Example: "system:serviceaccount:" + namespace + ":" + account}
}

// Install puts the policy of a golden file of the chart into a cluster, unless it is there, and returns when it is
// enforced. It stays: a cluster of tests has it for all of them.
func Install(t testing.TB, c *rig.Cluster, golden string, accounts Accounts) {
	t.Helper()
	policy, binding, err := read(golden)
	if err != nil {
		t.Fatal(err)
	}
	if err := accounts.take(policy); err != nil {
		t.Fatalf("%s: %v", golden, err)
	}
	for _, object := range []client.Object{policy, binding} {
		if err := c.Client().Create(t.Context(), object); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatalf("create %T in %s: %v", object, c.Name(), err)
		}
	}
	awaitEnforced(t, c, accounts.Example)
}

// take puts the pattern in the place of the one account's name, and the namespaces in that of none.
func (a Accounts) take(policy *admissionregistrationv1.ValidatingAdmissionPolicy) error {
	if len(a.AllowNamespaces) > 0 {
		i := slices.IndexFunc(policy.Spec.Variables, func(v admissionregistrationv1.Variable) bool {
			return v.Name == "allowNamespaces" && v.Expression == "[]"
		})
		if i < 0 {
			return errors.New("the policy has no variable allowNamespaces that is empty")
		}
		policy.Spec.Variables[i].Expression = "['" + strings.Join(a.AllowNamespaces, "', '") + "']"
	}
	if a.Pattern == "" {
		return nil
	}
	only := fmt.Sprintf("== 'system:serviceaccount:%s:%s'", namespace, account)
	for i := range policy.Spec.MatchConditions {
		condition := &policy.Spec.MatchConditions[i]
		if strings.HasSuffix(condition.Expression, only) {
			condition.Expression = strings.TrimSuffix(condition.Expression, " "+only) + fmt.Sprintf(".matches('%s')", a.Pattern)
			return nil
		}
	}
	return fmt.Errorf("the policy has no condition %q", only)
}

// awaitEnforced asks until what must be refused is refused. It changes nothing.
func awaitEnforced(t testing.TB, c *rig.Cluster, example string) {
	t.Helper()
	asking, err := c.ClientFor(Almighty(example))
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.After(patience)
	for {
		err := asking.Create(t.Context(), rig.Service(corev1.NamespaceDefault, "foreign"), client.DryRunAll)
		if Refused(err) {
			return
		}
		if err != nil {
			t.Fatalf("asking %s whether the policy is enforced: %v", c.Name(), err)
		}
		select {
		case <-deadline:
			t.Fatalf("%s does not enforce the policy after %v", c.Name(), patience)
		case <-time.After(interval):
		}
	}
}

// Almighty is a user with an account's name whom RBAC refuses nothing: what is refused is refused by the policy.
func Almighty(name string) rig.User {
	return rig.User{Name: name, Groups: []string{"system:masters"}}
}

// Refused says whether an error is the policy's.
func Refused(err error) bool {
	return apierrors.IsInvalid(err) && strings.Contains(err.Error(), "ValidatingAdmissionPolicy 'linkspan."+namespace+"'")
}

// read finds the policy and its binding.
func read(golden string) (*admissionregistrationv1.ValidatingAdmissionPolicy, *admissionregistrationv1.ValidatingAdmissionPolicyBinding, error) {
	text, err := os.ReadFile(golden)
	if err != nil {
		return nil, nil, fmt.Errorf("reading what the chart renders: %w", err)
	}
	policy, binding := &admissionregistrationv1.ValidatingAdmissionPolicy{}, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{}
	found := 0
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var raw map[string]any
		err := decoder.Decode(&raw)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("reading %s: %w", golden, err)
		}
		var into any
		switch raw["kind"] {
		case "ValidatingAdmissionPolicy":
			into = policy
		case "ValidatingAdmissionPolicyBinding":
			into = binding
		default:
			continue
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(raw, into, true); err != nil {
			return nil, nil, fmt.Errorf("reading %s: %w", golden, err)
		}
		found++
	}
	if found != 2 {
		return nil, nil, fmt.Errorf("%s has %d objects of admission, want a policy and its binding", golden, found)
	}
	return policy, binding, nil
}
