package observe

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/check"
)

const (
	labelName       = "app.kubernetes.io/name"
	labelComponent  = "app.kubernetes.io/component"
	nameLinkspan    = "linkspan"
	selectOurs      = labelName + "=" + nameLinkspan
	selectExtension = "linkerd.io/extension=linkspan"
	// selectServiceMirrors finds the pods that Linkerd's published scrape job finds, whoever made them.
	selectServiceMirrors = "linkerd.io/control-plane-component=linkerd-service-mirror"
	selectMirrors        = v1alpha3.LabelMirroredService + "=true"
	// linkerdConfig is the ConfigMap that every Linkerd control plane has.
	linkerdConfig = "linkerd-config"
	// linkerdRoots is the one that its proxies take their trust anchors from, whoever makes it, and its key.
	linkerdRoots    = "linkerd-identity-trust-roots"
	keyLinkerdRoots = "ca-bundle.crt"
)

// Options say where to look.
type Options struct {
	// Namespace is the installation's; empty finds it by its label, and else takes Fallback.
	Namespace, Fallback string
	// LinkerdNamespace is looked at where namespaces may not be listed.
	LinkerdNamespace string
	// Install are rights asked for before an installation, in Namespace where they have one. Kinds that the cluster
	// does not know are left out. With them, the other questions of that time are asked.
	Install []check.Right
	// LocalHost says whether a host means the machine that looks it up.
	LocalHost func(host string) bool
}

// Observer asks one cluster.
type Observer struct {
	options Options
	config  *rest.Config
	kube    kubernetes.Interface
	dynamic dynamic.Interface
	links   client.Client
}

// New makes an observer. The config's timeout bounds each request; links must know the type Link.
func New(config *rest.Config, links client.Client, options Options) (*Observer, error) {
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return &Observer{options: options, config: config, kube: kube, dynamic: dyn, links: links}, nil
}

// Observe finds out everything, or no more than that the cluster cannot be asked. When the context ends, what was not found out
// by then says so.
func (o *Observer) Observe(ctx context.Context) check.Facts {
	f := check.Facts{Namespace: o.options.Namespace}
	f.Server = o.server(ctx)
	f.Now = time.Now()
	if f.Server.Err != nil {
		return f
	}
	f.Namespace = o.namespace(ctx)
	f.ControlPlanes = o.controlPlanes(ctx)
	f.Home = found(o.kube.CoreV1().Namespaces().Get(ctx, f.Namespace, metav1.GetOptions{}))(right("get", "", "namespaces", f.Namespace))
	types := o.apiTypes(ctx)
	f.LinkAPI = o.linkAPI(ctx, types)
	f.OtherMirrors = o.otherMirrors(ctx, f.Namespace)
	o.observeInstallation(ctx, &f)
	if len(o.options.Install) > 0 {
		f.MayInstall = o.mayInstall(ctx, f.Namespace, types)
		f.MayGrant = o.mayGrant(ctx, f.Namespace, len(f.ControlPlanes.Value) > 0)
		f.LoadBalancers = o.loadBalancers(ctx)
	}
	// Links that are not asked for are none; they are asked for unless there is no such type.
	if types.err != nil || slices.Contains(types.links, v1alpha3.GroupVersion.Version) {
		f.Links = o.observeLinks(ctx, f.Namespace)
		f.Linked = o.linked(ctx)
	}
	o.observeServices(ctx, &f)
	f.Anchors, f.Certificates = o.trust(ctx, f.Namespace, f.Deployments.Value)
	f.Anchors = append(f.Anchors, o.linkerdAnchors(ctx, f.ControlPlanes.Value)...)
	f.AllowLists = o.allowLists(ctx, f.Namespace, f.Deployments.Value)
	f.Policies = o.policies(ctx, f.Namespace, types)
	return f
}

func right(verb, group, resource, namespace string) check.Right {
	return check.Right{Verb: verb, Group: group, Resource: resource, Namespace: namespace}
}

func read[T any](value T, err error, needs check.Right) check.Read[T] {
	return check.Read[T]{Value: value, Err: err, Right: needs}
}

// found takes an object that need not be there: then its value is nil.
func found[T any](object *T, err error) func(check.Right) check.Read[*T] {
	if err != nil {
		object = nil
	}
	if apierrors.IsNotFound(err) {
		err = nil
	}
	return func(needs check.Right) check.Read[*T] { return read(object, err, needs) }
}

// server asks for the version by hand, because the clock of the server is in a header.
func (o *Observer) server(ctx context.Context) check.Read[check.Server] {
	needs := check.Right{Verb: "get", Resource: "/version"}
	fail := func(err error) check.Read[check.Server] {
		return read(check.Server{}, fmt.Errorf("asking the API server for its version: %w", err), needs)
	}
	c, err := rest.HTTPClientFor(o.config)
	if err != nil {
		return fail(err)
	}
	base, _, err := rest.DefaultServerUrlFor(o.config)
	if err != nil {
		return fail(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("version").String(), nil)
	if err != nil {
		return fail(err)
	}
	response, err := c.Do(request)
	if err != nil {
		return fail(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fail(fmt.Errorf("the answer is %s", response.Status))
	}
	var version struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := json.NewDecoder(response.Body).Decode(&version); err != nil {
		return fail(err)
	}
	// Without a date it is zero, which means not known.
	date, _ := http.ParseTime(response.Header.Get("Date"))
	return read(check.Server{Version: version.GitVersion, Date: date}, nil, needs)
}

// namespace finds the installation by its label only where that leaves no choice.
func (o *Observer) namespace(ctx context.Context) string {
	if o.options.Namespace != "" {
		return o.options.Namespace
	}
	// Who may not list them names the namespace, or has the usual one.
	list, err := o.kube.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: selectExtension})
	if err == nil && len(list.Items) == 1 {
		return list.Items[0].Name
	}
	return o.options.Fallback
}

func (o *Observer) controlPlanes(ctx context.Context) check.Read[[]string] {
	needs := right("list", "", "namespaces", "")
	list, err := o.kube.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: v1alpha3.LabelIsControlPlane + "=true"})
	if apierrors.IsForbidden(err) {
		// An installation of Linkerd's by Helm may lack the label, but never this.
		if _, other := o.kube.CoreV1().ConfigMaps(o.options.LinkerdNamespace).Get(ctx, linkerdConfig, metav1.GetOptions{}); other == nil {
			return read([]string{o.options.LinkerdNamespace}, nil, needs)
		}
	}
	if err != nil {
		return read[[]string](nil, err, needs)
	}
	var names []string
	for _, ns := range list.Items {
		names = append(names, ns.Name)
	}
	return read(names, nil, needs)
}

// otherMirrors looks into one namespace where it may not look into all: what is found there is told, but that
// nothing is found says nothing of the others.
func (o *Observer) otherMirrors(ctx context.Context, namespace string) check.Read[[]string] {
	needs, options := right("list", "", "pods", ""), metav1.ListOptions{LabelSelector: selectServiceMirrors + "," + labelName + "!=" + nameLinkspan}
	list, err := o.kube.CoreV1().Pods("").List(ctx, options)
	if apierrors.IsForbidden(err) {
		if here, inOne := o.kube.CoreV1().Pods(namespace).List(ctx, options); inOne == nil && len(here.Items) > 0 {
			list, err = here, nil
		}
	}
	if err != nil {
		return read[[]string](nil, err, needs)
	}
	var names []string
	for _, pod := range list.Items {
		if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
			names = append(names, pod.Namespace+"/"+pod.Name)
		}
	}
	return read(names, nil, needs)
}

// Workloads finds out what runs in the namespace of the options, and nothing else.
func (o *Observer) Workloads(ctx context.Context) check.Facts {
	f := check.Facts{Namespace: o.options.Namespace}
	o.observeWorkloads(ctx, &f)
	return f
}

func (o *Observer) observeWorkloads(ctx context.Context, f *check.Facts) {
	ours := metav1.ListOptions{LabelSelector: selectOurs}
	deployments, err := o.kube.AppsV1().Deployments(f.Namespace).List(ctx, ours)
	f.Deployments = read(deployments.Items, err, right("list", "apps", "deployments", f.Namespace))
	pods, err := o.kube.CoreV1().Pods(f.Namespace).List(ctx, ours)
	f.Pods = read(pods.Items, err, right("list", "", "pods", f.Namespace))
}

func (o *Observer) observeInstallation(ctx context.Context, f *check.Facts) {
	ours := metav1.ListOptions{LabelSelector: selectOurs}
	o.observeWorkloads(ctx, f)
	accounts, err := o.kube.CoreV1().ServiceAccounts(f.Namespace).List(ctx, ours)
	f.Accounts = read(len(accounts.Items), err, right("list", "", "serviceaccounts", f.Namespace))
	f.Lease = found(o.kube.CoordinationV1().Leases(f.Namespace).Get(ctx, v1alpha3.ControllerLease, metav1.GetOptions{}))(
		right("get", "coordination.k8s.io", "leases", f.Namespace))
	f.Controller = o.controllerRights(ctx, f.Namespace, f.Deployments.Value)
}
