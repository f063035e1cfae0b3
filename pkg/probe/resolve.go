package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// Resolver looks up names; *net.Resolver is one. It is asked for "ip4" and "ip6" apart, from two
// goroutines at once, and must return soon after its context has ended.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// answer is what one look-up of one address family gave.
type answer struct {
	addrs []netip.Addr
	err   error
}

// lookup asks for both families. They are asked for apart, because a resolver that is asked for both
// hides the failure of one behind the success of the other, and half of a gateway would vanish.
func lookup(ctx context.Context, resolver Resolver, host string) (v4, v6 answer) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()

	var families sync.WaitGroup
	families.Go(func() { v4 = lookupFamily(ctx, resolver, "ip4", host) })
	families.Go(func() { v6 = lookupFamily(ctx, resolver, "ip6", host) })
	families.Wait()
	return v4, v6
}

func lookupFamily(ctx context.Context, resolver Resolver, network, host string) answer {
	found, err := resolver.LookupNetIP(ctx, network, host)
	if err != nil {
		return answer{err: err}
	}
	addrs := make([]netip.Addr, 0, len(found))
	for _, ip := range found {
		// A DNS that blocks a name answers 0.0.0.0, and a probe of that would reach ourselves.
		if ip = ip.Unmap(); ip.IsValid() && !ip.IsUnspecified() && !ip.IsMulticast() {
			addrs = append(addrs, ip)
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	if len(addrs) == 0 {
		return answer{err: &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}}
	}
	return answer{addrs: slices.Compact(addrs)}
}

// name is a DNS name of a gateway and what it last resolved to. Gateways.mu guards it, but for host.
type name struct {
	host string
	stop context.CancelFunc

	v4, v6 []netip.Addr
	// settled is true once the name was resolved or failed.
	settled bool
	// problem is why the last look-up gave nothing.
	problem error
}

// take takes an answer in. What was found before stays, unless the DNS positively says otherwise: a
// family that does not exist is believed only if the other one does (LESSON-29).
func (n *name) take(v4, v6 answer) {
	n.settled = true
	if v4.err != nil && v6.err != nil {
		n.problem = &Error{Step: StepDNS, Address: n.host, Err: lookupCause(v4.err, v6.err)}
		return
	}
	n.problem = nil
	n.v4, n.v6 = newer(n.v4, v4), newer(n.v6, v6)
}

func newer(last []netip.Addr, a answer) []netip.Addr {
	if a.err != nil && !isNotFound(a.err) {
		return last
	}
	return a.addrs
}

// lookupCause puts the failure of both families into words that do not change from try to try.
func lookupCause(v4, v6 error) error {
	both := errors.Join(v4, v6)
	switch {
	case isNotFound(v4) && isNotFound(v6):
		return explained{text: "no such host", cause: both}
	case isTimeout(v4) || isTimeout(v6):
		return explained{text: "the DNS did not answer in time", cause: both}
	default:
		return explained{text: "the DNS could not answer", cause: both}
	}
}

func isNotFound(err error) bool {
	dnsErr, ok := errors.AsType[*net.DNSError](err)
	return ok && dnsErr.IsNotFound
}
