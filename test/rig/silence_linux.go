package rig

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Silence makes a test address fall silent until the returned function is called: nothing that is sent from
// it arrives, on open connections neither, and connections to it are not answered, as of a machine
// whose cable was pulled.
func Silence(address string) (restore func() error, err error) {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return nil, fmt.Errorf("silence an address: %w", err)
	}
	// More special than the route that makes the address local, so that it is not local any more: what is
	// sent to it goes round loopback and is for nobody, and nothing can be sent from it.
	one := netip.PrefixFrom(ip, ip.BitLen())
	err = changeRoute(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, one)
	if err != nil {
		return nil, fmt.Errorf("silence %s: %w", address, err)
	}
	return func() error {
		if err := changeRoute(unix.RTM_DELROUTE, 0, one); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("end the silence of %s: %w", address, err)
		}
		return nil // ESRCH: it has ended before
	}, nil
}

// changeRoute adds or removes a route that only passes by, in the table of what is local.
func changeRoute(kind, flags uint16, prefix netip.Prefix) error {
	link, err := newNetlink()
	if err != nil {
		return err
	}
	defer link.close()
	return link.request(kind, flags, link.route(prefix, unix.RT_TABLE_LOCAL, unix.RT_SCOPE_LINK, unix.RTN_UNICAST))
}
