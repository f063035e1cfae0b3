package check

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/version"
)

// oldestKubernetes is what the charts ask for as kubeVersion.
const oldestKubernetes = "1.34.0"

// clockTolerance is how far two clocks may be apart: certificates are not valid yet beyond it.
const clockTolerance = 30 * time.Second

func apiReachable(f Facts) []Finding {
	const text = "the Kubernetes API can be asked"
	if err := f.Server.Err; err != nil {
		return []Finding{passing(text, err.Error(), "check --kubeconfig and --context, and that this machine reaches the cluster")}
	}
	return good(text)
}

func apiVersion(f Facts) []Finding {
	const text = "Kubernetes is new enough"
	have, err := version.ParseGeneric(f.Server.Value.Version)
	if err != nil {
		return []Finding{warn(text, fmt.Sprintf("%q is no version", f.Server.Value.Version), "compare it with "+oldestKubernetes+" yourself")}
	}
	if have.LessThan(version.MustParseGeneric(oldestKubernetes)) {
		return []Finding{bad(text, fmt.Sprintf("the API server is %s, and Linkspan needs %s", f.Server.Value.Version, oldestKubernetes), "upgrade Kubernetes")}
	}
	return good(text + " (" + f.Server.Value.Version + ")")
}

func apiClock(f Facts) []Finding {
	const text = "the clocks of this machine and of the API server agree"
	if f.Server.Value.Date.IsZero() {
		return good("the API server does not show its clock: this machine's is taken")
	}
	apart := f.Now.Sub(f.Server.Value.Date).Abs().Truncate(time.Second)
	if apart <= clockTolerance {
		return good(text)
	}
	return []Finding{warn(text, fmt.Sprintf("they are %v apart; certificates and tokens can seem expired or not yet valid", apart), "have both follow a time server")}
}
