package nodes

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// balancerRetry is when a change that failed is tried again.
const balancerRetry = time.Second

// balancer gives Services of type LoadBalancer an address, and routes it to a node that is ready: kube-proxy does the
// rest there. It stands for what a cloud does.
type balancer struct {
	cluster   *Cluster
	informers informers.SharedInformerFactory
	changed   chan struct{}
	stop      context.CancelFunc
	done      sync.WaitGroup

	// Used by the one goroutine of run alone.
	given map[types.UID]netip.Addr
	route map[netip.Addr]int // the node's number
}

func startBalancer(c *Cluster) (*balancer, error) {
	config, err := c.RESTConfig(c.Admin())
	if err != nil {
		return nil, err
	}
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make the load balancer's client: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &balancer{
		cluster: c, informers: informers.NewSharedInformerFactory(clientset, 0), changed: make(chan struct{}, 1), stop: stop,
		given: map[types.UID]netip.Addr{}, route: map[netip.Addr]int{},
	}
	for _, informer := range []cache.SharedIndexInformer{
		b.informers.Core().V1().Services().Informer(), b.informers.Core().V1().Nodes().Informer(),
		b.informers.Discovery().V1().EndpointSlices().Informer(),
	} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { b.kick() },
			UpdateFunc: func(any, any) { b.kick() },
			DeleteFunc: func(any) { b.kick() },
		}); err != nil {
			stop()
			return nil, fmt.Errorf("start the load balancer: %w", err)
		}
	}
	b.informers.Start(ctx.Done())
	b.done.Go(func() { b.run(ctx) })
	return b, nil
}

// kick says that something has changed. What is changed already once more needs no second kick.
func (b *balancer) kick() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

func (b *balancer) run(ctx context.Context) {
	b.informers.WaitForCacheSync(ctx.Done())
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.changed:
		case <-retry.C:
		}
		// An API server that is down, on purpose, is no news.
		if err := b.reconcile(ctx); err != nil {
			retry.Reset(balancerRetry)
		}
	}
}

// close returns when the balancer has ended. Addresses and routes stay.
func (b *balancer) close() {
	b.stop()
	b.done.Wait()
	b.informers.Shutdown()
}

func (b *balancer) reconcile(ctx context.Context) error {
	services, err := b.informers.Core().V1().Services().Lister().List(labels.Everything())
	if err != nil {
		return err
	}
	live := map[types.UID]bool{}
	var errs []error
	for _, service := range services {
		if service.Spec.Type == corev1.ServiceTypeLoadBalancer && service.Spec.LoadBalancerClass == nil {
			live[service.UID] = true
			errs = append(errs, b.serve(ctx, service))
		} else if len(service.Status.LoadBalancer.Ingress) > 0 {
			errs = append(errs, b.publish(ctx, service, nil))
		}
	}
	for uid, address := range b.given {
		if !live[uid] {
			if err := b.unroute(address); err != nil {
				errs = append(errs, err) // the address is not free yet
				continue
			}
			delete(b.given, uid)
		}
	}
	return errors.Join(errs...)
}

// serve gives a Service its address and routes that to the right node.
func (b *balancer) serve(ctx context.Context, service *corev1.Service) error {
	address, err := b.addressOf(service)
	if err != nil {
		return err
	}
	number, err := b.choose(service, b.route[address])
	switch {
	case err != nil:
		return err
	case number == 0:
		err = b.unroute(address)
	case number != b.route[address]:
		if err = b.cluster.segment.Route(netip.PrefixFrom(address, address.BitLen()), number); err == nil {
			b.route[address] = number
		}
	}
	mode := corev1.LoadBalancerIPModeVIP
	return errors.Join(err, b.publish(ctx, service, []corev1.LoadBalancerIngress{{IP: address.String(), IPMode: &mode}}))
}

// addressOf is the address that the Service has, asks for, or gets now.
func (b *balancer) addressOf(service *corev1.Service) (netip.Addr, error) {
	if address, found := b.given[service.UID]; found {
		return address, nil
	}
	taken := map[netip.Addr]bool{}
	for _, address := range b.given {
		taken[address] = true
	}
	wanted := []string{service.Spec.LoadBalancerIP} // deprecated, but what users set
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		wanted = append(wanted, ingress.IP)
	}
	pool := b.cluster.segment.LoadBalancers()
	for _, text := range wanted {
		if address, err := netip.ParseAddr(text); err == nil && pool.Contains(address) && !taken[address] {
			b.given[service.UID] = address
			return address, nil
		}
	}
	for address := pool.Addr().Next(); pool.Contains(address); address = address.Next() {
		if !taken[address] {
			b.given[service.UID] = address
			return address, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no address of %s is left for Service %s/%s", pool, service.Namespace, service.Name)
}

// choose prefers the node that has the address, and returns 0 when no node can take it.
func (b *balancer) choose(service *corev1.Service, current int) (int, error) {
	nodes, err := b.informers.Core().V1().Nodes().Lister().List(labels.Everything())
	if err != nil {
		return 0, err
	}
	ready := map[string]bool{}
	for _, node := range nodes {
		ready[node.Name] = isReady(node)
	}
	if service.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal {
		if err := b.keepLocal(service, ready); err != nil {
			return 0, err
		}
	}
	var able []int
	for _, node := range b.cluster.nodes {
		if ready[node.name] {
			able = append(able, node.number)
		}
	}
	if slices.Contains(able, current) || len(able) == 0 {
		return current * min(1, len(able)), nil
	}
	return able[0], nil
}

// keepLocal leaves the nodes that run a ready pod of the Service.
func (b *balancer) keepLocal(service *corev1.Service, nodes map[string]bool) error {
	slices, err := b.informers.Discovery().V1().EndpointSlices().Lister().EndpointSlices(service.Namespace).
		List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: service.Name}))
	if err != nil {
		return err
	}
	local := map[string]bool{}
	for _, slice := range slices {
		for _, endpoint := range slice.Endpoints {
			if endpoint.NodeName != nil && (endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready) {
				local[*endpoint.NodeName] = true
			}
		}
	}
	for name := range nodes {
		nodes[name] = nodes[name] && local[name]
	}
	return nil
}

func (b *balancer) unroute(address netip.Addr) error {
	if b.route[address] == 0 {
		return nil
	}
	if err := b.cluster.segment.Unroute(netip.PrefixFrom(address, address.BitLen())); err != nil {
		return err
	}
	delete(b.route, address)
	return nil
}

// publish writes the Service's status, unless it is right.
func (b *balancer) publish(ctx context.Context, service *corev1.Service, ingress []corev1.LoadBalancerIngress) error {
	if equality.Semantic.DeepEqual(service.Status.LoadBalancer.Ingress, ingress) {
		return nil
	}
	changed := service.DeepCopy()
	changed.Status.LoadBalancer.Ingress = ingress
	if err := b.cluster.Client().Status().Patch(ctx, changed, client.MergeFrom(service)); err != nil {
		return fmt.Errorf("publish the address of Service %s/%s: %w", service.Namespace, service.Name, err)
	}
	return nil
}
