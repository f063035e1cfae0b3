package check_test

import (
	"errors"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/check"
	"github.com/linkspan/linkspan/test/certs"
)

const identity = "linkspan-ingress.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"

func got[T any](value T) check.Read[T] { return check.Read[T]{Value: value} }

// refused is a read that the user had no right to.
func refused[T any]() check.Read[T] {
	return check.Read[T]{
		Err:   apierrors.NewForbidden(schema.GroupResource{Resource: "things"}, "", errors.New("no")),
		Right: check.Right{Verb: "list", Resource: "things", Namespace: "linkerd-multicluster"},
	}
}

// healthy is an installation in which everything works: a controller, an ingress, two Links, Linkerd.
func healthy(t *testing.T) check.Facts {
	t.Helper()
	now := time.Now()
	anchor, leaf := chain(t)
	return check.Facts{
		Now: now, Namespace: "linkerd-multicluster", CLI: "v1.2.0",
		Server: got(check.Server{Version: "v1.36.1", Date: now}),
		Home: got(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: "linkerd-multicluster", Labels: map[string]string{"linkerd.io/extension": "linkspan"},
		}}),
		LinkAPI:       got(check.LinkAPI{Versions: []string{"v1alpha1", "v1alpha2", "v1alpha3"}, Current: true, Conditions: new(true)}),
		ControlPlanes: got([]string{"linkerd"}),
		Deployments:   got([]appsv1.Deployment{deployment("linkspan", "controller", 1), deployment("linkspan-ingress", "ingress", 2)}),
		Pods:          got([]corev1.Pod{}),
		Controller:    got([]check.Grant{{Right: check.Right{Verb: "list", Resource: "services"}, Allowed: true}}),
		MayInstall:    got([]check.Grant{{Right: check.Right{Verb: "create", Group: "apps", Resource: "deployments", Namespace: "linkerd-multicluster"}, Allowed: true}}),
		MayGrant:      got(check.RoleRights{Leave: []check.Grant{{Right: check.Right{Verb: "escalate", Group: "rbac.authorization.k8s.io", Resource: "clusterroles"}, Allowed: true}}}),
		LoadBalancers: got(check.LoadBalancers{All: 1, WithAddress: 1}),
		Lease: got(&coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{
			HolderIdentity: new("linkspan-0"), LeaseDurationSeconds: new(int32(15)), RenewTime: &metav1.MicroTime{Time: now},
		}}),
		Links:  got([]check.Link{aLink("east", "203.0.113.7"), aLink("north", "")}),
		Linked: got(map[string]bool{"east": true, "north": true}),
		GatewayServices: got([]corev1.Service{{
			ObjectMeta: metav1.ObjectMeta{Name: "linkerd-gateway"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer},
			Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "203.0.113.1"}}}},
		}}),
		Mirrors: got([]check.Mirror{
			{Namespace: "shop", Name: "web-east", Cluster: "east", Ready: true},
			{Namespace: "shop", Name: "cart-north", Cluster: "north", Direct: true, Ready: true},
		}),
		Exports:      got([]check.Export{{Namespace: "shop", Name: "pay", Value: "true"}}),
		Anchors:      []check.Anchors{{Source: "ConfigMap anchors, key ca.crt", PEM: got(anchor)}},
		Certificates: []check.Certificate{{Workload: "linkspan-ingress", Secret: "linkspan-ingress-tls", Component: "ingress", Identity: identity, Source: "ConfigMap anchors, key ca.crt", PEM: got(leaf)}},
		Policies:     got(check.Policies{}),
		AllowLists:   []check.AllowList{{Workload: "linkspan-ingress", ConfigMap: "linkspan-allowed-clients", Entries: got([]string{identity})}},
	}
}

// chain makes an anchor that lasts, and a certificate under it.
func chain(t *testing.T) (anchor, leaf []byte) {
	t.Helper()
	root, err := certs.Anchor("root.linkerd.cluster.local")
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := root.Issuer("identity.linkerd.cluster.local")
	if err != nil {
		t.Fatal(err)
	}
	made, err := issuer.Leaf(identity)
	if err != nil {
		t.Fatal(err)
	}
	files, err := made.Files(root)
	if err != nil {
		t.Fatal(err)
	}
	return files.Anchors, files.Cert
}

func deployment(name, component string, replicas int32) appsv1.Deployment {
	labels := map[string]string{"app.kubernetes.io/component": component, "app.kubernetes.io/version": "1.2.0"}
	return appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: component, Args: []string{component, "--log-level=info"}}}},
		}},
		Status: appsv1.DeploymentStatus{Replicas: replicas, ReadyReplicas: replicas, UpdatedReplicas: replicas},
	}
}

func aLink(name, gateway string) check.Link {
	l := check.Link{Credentials: got(check.Credentials{Found: true, Type: v1alpha3.SecretTypeRemoteKubeconfig})}
	l.Link.Name = name
	l.Generation, l.Status.ObservedGeneration = 1, 1
	l.Spec = v1alpha3.LinkSpec{TargetClusterName: name, ClusterCredentialsSecret: "cluster-credentials-" + name, GatewayAddress: gateway}
	l.Status.Services = &v1alpha3.ServiceCounts{Exported: 1, Mirrored: 1}
	reason := v1alpha3.ReasonNoGateway
	if gateway != "" {
		reason = v1alpha3.ReasonGatewayAlive
		l.Status.Gateway = []v1alpha3.GatewayAddressStatus{{Address: gateway, State: "Alive"}}
	}
	for kind, reason := range map[string]string{
		v1alpha3.ConditionReady: v1alpha3.ReasonReady, v1alpha3.ConditionCredentialsValid: v1alpha3.ReasonCredentialsValid,
		v1alpha3.ConditionConnected: v1alpha3.ReasonConnected, v1alpha3.ConditionSynced: v1alpha3.ReasonSynced,
		v1alpha3.ConditionGatewayReady: reason,
	} {
		setCondition(&l, kind, metav1.ConditionTrue, reason, "")
	}
	return l
}

func setCondition(l *check.Link, kind string, status metav1.ConditionStatus, reason, message string) {
	for i := range l.Status.Conditions {
		if c := &l.Status.Conditions[i]; c.Type == kind {
			c.Status, c.Reason, c.Message = status, reason, message
			return
		}
	}
	l.Status.Conditions = append(l.Status.Conditions, metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message})
}

// spoil makes a condition of east's untrue, and with it Ready.
func spoil(kind string, status metav1.ConditionStatus, reason, message string) func(*check.Facts) {
	return func(f *check.Facts) {
		l := &f.Links.Value[0]
		setCondition(l, kind, status, reason, message)
		if status != metav1.ConditionTrue {
			setCondition(l, v1alpha3.ConditionReady, status, reason, message)
		}
	}
}
