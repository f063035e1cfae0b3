package rig

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// namespaceAttributes are the ways to make a network namespace, best first.
func namespaceAttributes() []*syscall.SysProcAttr {
	base := syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	withUser := base
	withUser.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET
	withUser.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	withUser.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	if os.Geteuid() != 0 {
		return []*syscall.SysProcAttr{&withUser}
	}
	netOnly := base
	netOnly.Cloneflags = syscall.CLONE_NEWNET
	return []*syscall.SysProcAttr{&netOnly, &withUser}
}

// lastIPv6 is how many single IPv6 addresses are made local: a program can only listen on those,
// unlike in IPv4, where a prefix on loopback makes every address in it local.
const lastIPv6 = 0xff

// setUpNetwork brings loopback up and gives it the test addresses. It speaks netlink itself, so that
// no program such as ip is needed.
func setUpNetwork() error {
	link, err := newNetlink()
	if err != nil {
		return err
	}
	defer link.close()
	if err := link.up(); err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	for _, prefix := range []string{"203.0.113.1/24", "198.51.100.254/24"} {
		if err := link.addAddress(netip.MustParsePrefix(prefix)); err != nil {
			return fmt.Errorf("make %s local: %w", prefix, err)
		}
	}
	if err := link.addIPv6(); err != nil {
		return err
	}
	// Packets sent here come back on loopback, are for nobody, and are dropped without a word.
	silent := netip.MustParsePrefix("192.0.2.0/24")
	if err := link.addRoute(silent, unix.RTN_UNICAST); err != nil {
		return fmt.Errorf("add a route to %s: %w", silent, err)
	}
	return nil
}

// netlink is a socket to the kernel's routing tables.
type netlink struct {
	fd       int
	sequence uint32
	loopback uint32
}

func newNetlink() (*netlink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	const loopbackIndex = 1 // in every new namespace
	return &netlink{fd: fd, loopback: loopbackIndex}, nil
}

func (n *netlink) close() {
	// Nothing was buffered; a failing close loses nothing.
	_ = unix.Close(n.fd)
}

func (n *netlink) up() error {
	message := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(message[4:], n.loopback)
	binary.NativeEndian.PutUint32(message[8:], unix.IFF_UP)
	binary.NativeEndian.PutUint32(message[12:], unix.IFF_UP)
	return n.request(unix.RTM_NEWLINK, 0, message)
}

// addIPv6 leaves a machine without IPv6 as it is: it still runs everything that does not ask for it.
func (n *netlink) addIPv6() error {
	for i := 1; i <= lastIPv6; i++ {
		prefix := netip.MustParsePrefix(fmt.Sprintf("2001:db8::%x/128", i))
		err := n.addAddress(prefix)
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EACCES) {
			return nil // IPv6 is not built in, or switched off
		}
		if err != nil {
			return fmt.Errorf("make %s local: %w", prefix, err)
		}
	}
	// The kernel adds the routes of single addresses some time later; this one is there at once.
	whole := netip.MustParsePrefix("2001:db8::/64")
	if err := n.addRoute(whole, unix.RTN_LOCAL); err != nil {
		return fmt.Errorf("make %s local: %w", whole, err)
	}
	return nil
}

func (n *netlink) addAddress(prefix netip.Prefix) error {
	message := []byte{family(prefix), byte(prefix.Bits()), unix.IFA_F_NODAD, unix.RT_SCOPE_UNIVERSE, 0, 0, 0, 0}
	binary.NativeEndian.PutUint32(message[4:], n.loopback)
	message = appendAttribute(message, unix.IFA_LOCAL, prefix.Addr().AsSlice())
	message = appendAttribute(message, unix.IFA_ADDRESS, prefix.Addr().AsSlice())
	return n.request(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, message)
}

// addRoute sends a prefix to loopback: to be received there (RTN_LOCAL), or only to pass by (RTN_UNICAST).
func (n *netlink) addRoute(prefix netip.Prefix, kind byte) error {
	table, scope := byte(unix.RT_TABLE_MAIN), byte(unix.RT_SCOPE_LINK)
	if kind == unix.RTN_LOCAL {
		table, scope = unix.RT_TABLE_LOCAL, unix.RT_SCOPE_HOST
	}
	return n.request(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, n.route(prefix, table, scope, kind))
}

// route describes a route to loopback.
func (n *netlink) route(prefix netip.Prefix, table, scope, kind byte) []byte {
	message := []byte{family(prefix), byte(prefix.Bits()), 0, 0, table, unix.RTPROT_STATIC, scope, kind, 0, 0, 0, 0}
	message = appendAttribute(message, unix.RTA_DST, prefix.Addr().AsSlice())
	return appendAttribute(message, unix.RTA_OIF, binary.NativeEndian.AppendUint32(nil, n.loopback))
}

func family(prefix netip.Prefix) byte {
	if prefix.Addr().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// appendAttribute adds a netlink attribute: length, type, value, padding to four bytes.
func appendAttribute(message []byte, kind uint16, value []byte) []byte {
	message = binary.NativeEndian.AppendUint16(message, uint16(unix.SizeofRtAttr+len(value)))
	message = binary.NativeEndian.AppendUint16(message, kind)
	message = append(message, value...)
	for len(message)%unix.NLMSG_ALIGNTO != 0 {
		message = append(message, 0)
	}
	return message
}

// request sends one message and waits for the kernel's verdict.
func (n *netlink) request(kind, flags uint16, body []byte) error {
	n.sequence++
	message := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	message = binary.NativeEndian.AppendUint16(message, kind)
	message = binary.NativeEndian.AppendUint16(message, unix.NLM_F_REQUEST|unix.NLM_F_ACK|flags)
	message = binary.NativeEndian.AppendUint32(message, n.sequence)
	message = binary.NativeEndian.AppendUint32(message, 0)
	message = append(message, body...)
	if err := unix.Sendto(n.fd, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send to netlink: %w", err)
	}
	answer := make([]byte, os.Getpagesize())
	size, _, err := unix.Recvfrom(n.fd, answer, 0)
	if err != nil {
		return fmt.Errorf("receive from netlink: %w", err)
	}
	if size < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return fmt.Errorf("netlink answered %d bytes that are no acknowledgement", size)
	}
	if code := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}
