package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	discoveryv1ac "k8s.io/client-go/applyconfigurations/discovery/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
	"github.com/linkspan/linkspan/test/rig"
)

// absent as a resourceVersion lets an apply create and nothing else, as the product does it.
const absent = "1"

// wanted is one mirror as the plan wants it, in the two forms that it can be written in.
type wanted struct {
	service *corev1ac.ServiceApplyConfiguration
	slices  []*discoveryv1ac.EndpointSliceApplyConfiguration

	serviceObject *corev1.Service
	sliceObjects  []*discoveryv1.EndpointSlice
}

// mirrors computes what the controller would write for every exported service.
func (w *world) mirrors(ctx context.Context) ([]wanted, error) {
	var object v1alpha3.Link
	if err := w.west.Client().Get(ctx, client.ObjectKey{Namespace: linksNamespace, Name: target}, &object); err != nil {
		return nil, fmt.Errorf("reading the Link: %w", err)
	}
	parsed, err := link.Parse(&object)
	if err != nil {
		return nil, fmt.Errorf("parsing the Link: %w", err)
	}
	var services corev1.ServiceList
	if err := w.east.Client().List(ctx, &services, client.InNamespace(appsNamespace), client.HasLabels{v1alpha3.LabelExported}); err != nil {
		return nil, fmt.Errorf("listing exported services: %w", err)
	}
	var list discoveryv1.EndpointSliceList
	if err := w.east.Client().List(ctx, &list, client.InNamespace(appsNamespace), client.HasLabels{v1alpha3.LabelExported}); err != nil {
		return nil, fmt.Errorf("listing the slices of exported services: %w", err)
	}
	slices := map[string][]*discoveryv1.EndpointSlice{}
	for i := range list.Items {
		owner := list.Items[i].Labels[discoveryv1.LabelServiceName]
		slices[owner] = append(slices[owner], &list.Items[i])
	}
	out := make([]wanted, 0, len(services.Items))
	for i := range services.Items {
		service := &services.Items[i]
		one, err := wantedOf(plan.Compute(plan.Input{
			Link: parsed, Namespace: service.Namespace, Name: service.Name, LocalNamespace: plan.NamespaceActive,
			Remote:  plan.Remote{State: plan.Present, Service: service, Slices: slices[service.Name]},
			Gateway: []plan.GatewayAddress{{IP: netip.MustParseAddr(gatewayIP), Health: plan.HealthAlive}},
		}))
		if err != nil {
			return nil, fmt.Errorf("planning the mirror of %s: %w", service.Name, err)
		}
		out = append(out, one)
	}
	return out, nil
}

func wantedOf(p plan.Plan) (wanted, error) {
	out := wanted{service: p.Service, slices: p.Slices}
	if p.Service == nil || len(p.Slices) == 0 {
		return out, fmt.Errorf("the plan wants no mirror: %s %s", p.Outcome.Reason, p.Outcome.Message)
	}
	out.serviceObject = &corev1.Service{}
	if err := convert(p.Service, out.serviceObject); err != nil {
		return out, err
	}
	out.service.WithResourceVersion(absent)
	for _, slice := range p.Slices {
		object := &discoveryv1.EndpointSlice{}
		if err := convert(slice, object); err != nil {
			return out, err
		}
		out.sliceObjects = append(out.sliceObjects, object)
		slice.WithResourceVersion(absent)
	}
	return out, nil
}

func convert(from, to any) error {
	text, err := json.Marshal(from)
	if err != nil {
		return fmt.Errorf("writing %T: %w", from, err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("reading %T: %w", to, err)
	}
	return nil
}

// writer writes one mirror.
type writer func(context.Context, kubernetes.Interface, wanted) error

func createMirror(ctx context.Context, api kubernetes.Interface, m wanted) error {
	if _, err := api.CoreV1().Services(appsNamespace).Create(ctx, m.serviceObject, metav1.CreateOptions{}); err != nil {
		return err
	}
	for _, slice := range m.sliceObjects {
		if _, err := api.DiscoveryV1().EndpointSlices(appsNamespace).Create(ctx, slice, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

func applyMirror(ctx context.Context, api kubernetes.Interface, m wanted) error {
	options := metav1.ApplyOptions{FieldManager: v1alpha3.FieldManager, Force: true}
	if _, err := api.CoreV1().Services(appsNamespace).Apply(ctx, m.service, options); err != nil {
		return err
	}
	for _, slice := range m.slices {
		if _, err := api.DiscoveryV1().EndpointSlices(appsNamespace).Apply(ctx, slice, options); err != nil {
			return err
		}
	}
	return nil
}

// floor is how long a way of writing takes for all mirrors, and what it costs the API server.
type floor struct {
	took      time.Duration
	apiserver time.Duration // processor time of west's
}

// floor writes mirrors with the controller's own account, so that priority and fairness treat it
// alike, and removes them again.
func (w *world) floor(ctx context.Context, mirrors []wanted, write writer) (floor, error) {
	if err := w.clear(ctx); err != nil {
		return floor{}, err
	}
	api, err := clientset(w.west, w.controller)
	if err != nil {
		return floor{}, err
	}
	before, err := readUsage(w.west.PID())
	if err != nil {
		return floor{}, err
	}
	started := time.Now()
	err = eachIn(ctx, len(mirrors), w.opts.workers, func(ctx context.Context, i int) error { return write(ctx, api, mirrors[i]) })
	took := time.Since(started)
	if err != nil {
		return floor{}, fmt.Errorf("writing mirrors: %w", err)
	}
	after, err := readUsage(w.west.PID())
	if err != nil {
		return floor{}, err
	}
	return floor{took: took, apiserver: after.cpu - before.cpu}, w.clear(ctx)
}

func clientset(c *rig.Cluster, user rig.User) (kubernetes.Interface, error) {
	config, err := c.RESTConfig(user)
	if err != nil {
		return nil, err
	}
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", c.Name(), err)
	}
	return set, nil
}
