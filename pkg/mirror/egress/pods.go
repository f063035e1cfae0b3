package egress

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/go-logr/logr"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

// Selector picks the EndpointSlices of the egress Service. The slices of a mirror that happens to have its
// name are not those of pods of ours.
func Selector(service string) (labels.Selector, error) {
	named, err := labels.NewRequirement(discoveryv1.LabelServiceName, selection.Equals, []string{service})
	if err != nil {
		return nil, fmt.Errorf("selecting the slices of Service %q: %w", service, err)
	}
	ours, err := labels.NewRequirement(v1alpha3.LabelMirroredService, selection.DoesNotExist, nil)
	if err != nil {
		return nil, fmt.Errorf("selecting slices that are no mirror's: %w", err)
	}
	return labels.NewSelector().Add(*named, *ours), nil
}

// Pods are the pods of the egress.
type Pods struct {
	log     logr.Logger
	cache   cache.Cache
	changed func()

	mu   sync.Mutex
	told []plan.EgressPod
}

// New watches through a cache that holds the slices of the egress Service and no others. changed is called
// when the pods are not what they were, as soon as the cache runs, and never at the same time twice.
func New(ctx context.Context, log logr.Logger, c cache.Cache, changed func()) (*Pods, error) {
	p := &Pods{log: log, cache: c, changed: changed}
	informer, err := c.GetInformer(ctx, &discoveryv1.EndpointSlice{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watching the slices of the egress: %w", err)
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { p.look(ctx) },
		UpdateFunc: func(any, any) { p.look(ctx) },
		DeleteFunc: func(any) { p.look(ctx) },
	})
	if err != nil {
		return nil, fmt.Errorf("watching the slices of the egress: %w", err)
	}
	return p, nil
}

// Start implements manager.Runnable: it runs the cache.
func (p *Pods) Start(ctx context.Context) error {
	if err := p.cache.Start(ctx); err != nil {
		return fmt.Errorf("watching the slices of the egress: %w", err)
	}
	return nil
}

// GetCache has the manager treat Pods as a cache: nothing else starts before it is synced.
func (p *Pods) GetCache() cache.Cache { return p.cache }

// List lists the pods, sorted.
func (p *Pods) List(ctx context.Context) ([]plan.EgressPod, error) {
	var list discoveryv1.EndpointSliceList
	if err := p.cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("reading the slices of the egress from the cache: %w", err)
	}
	return podsIn(list.Items), nil
}

func (p *Pods) look(ctx context.Context) {
	pods, err := p.List(ctx)
	if err != nil {
		if ctx.Err() == nil {
			p.log.Error(err, "Pods of the egress are not known")
		}
		return
	}
	p.mu.Lock()
	same := slices.Equal(pods, p.told)
	p.told = pods
	p.mu.Unlock()
	if !same {
		p.changed()
	}
}

// podsIn reads slices as kube-proxy does: an endpoint is its first address, ready unless it says
// otherwise, and serving if ready unless it says otherwise.
func podsIn(found []discoveryv1.EndpointSlice) []plan.EgressPod {
	var pods []plan.EgressPod
	for i := range found {
		for j := range found[i].Endpoints {
			e := &found[i].Endpoints[j]
			if len(e.Addresses) == 0 {
				continue
			}
			ip, err := netip.ParseAddr(e.Addresses[0])
			if err != nil {
				continue // a slice of DNS names
			}
			ready := ptr.Deref(e.Conditions.Ready, true)
			pods = append(pods, plan.EgressPod{
				IP: ip, Ready: ready, Serving: ptr.Deref(e.Conditions.Serving, ready), Terminating: ptr.Deref(e.Conditions.Terminating, false),
				Zone: ptr.Deref(e.Zone, ""), Node: ptr.Deref(e.NodeName, ""),
			})
		}
	}
	slices.SortFunc(pods, func(a, b plan.EgressPod) int {
		return cmp.Or(a.IP.Compare(b.IP), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Zone, b.Zone), cmp.Compare(flags(a), flags(b)))
	})
	return slices.Compact(pods)
}

// flags gives each state of a pod a number, to sort by.
func flags(p plan.EgressPod) (n int) {
	for i, set := range [...]bool{p.Ready, p.Serving, p.Terminating} {
		if set {
			n |= 1 << i
		}
	}
	return n
}
