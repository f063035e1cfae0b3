package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// folder is where iproute2 looks for namespaces: ip -n west-1 route works in the rig.
const folder = "/run/netns"

// Namespace is a network namespace with a thread in it, which starts what shall live there.
type Namespace struct {
	name string
	work chan func()
}

// NewNamespace makes a namespace with nothing but loopback, which is up.
func NewNamespace(name string) (*Namespace, error) {
	n := &Namespace{name: name, work: make(chan func())}
	made := make(chan error)
	go n.live(made)
	if err := <-made; err != nil {
		return nil, fmt.Errorf("make the network namespace %s: %w", name, err)
	}
	if err := n.Do(func() error { return ip("link set lo up") }); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// live never unlocks its thread, so that the thread ends with it and no other goroutine gets into the namespace.
func (n *Namespace) live(made chan<- error) {
	runtime.LockOSThread()
	err := n.enter()
	made <- err
	if err != nil {
		return
	}
	for work := range n.work {
		work()
	}
}

// enter makes the namespace and gives it a name.
func (n *Namespace) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make the folder of namespaces: %w", err)
	}
	if err := os.WriteFile(n.Path(), nil, 0o600); err != nil {
		return fmt.Errorf("name it: %w", err)
	}
	if err := unix.Mount("/proc/thread-self/ns/net", n.Path(), "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("name it: %w", err)
	}
	return nil
}

// Path is the namespace's file.
func (n *Namespace) Path() string { return filepath.Join(folder, n.name) }

// Do calls a function on a thread in the namespace. Processes that the function starts live there; they must have
// ended before Close, which ends the thread and with it its children.
func (n *Namespace) Do(work func() error) error {
	done := make(chan error)
	n.work <- func() { done <- work() }
	return <-done
}

// Close ends the thread and takes the name away. Nobody may call Do any more.
func (n *Namespace) Close() error {
	close(n.work)
	err := unix.Unmount(n.Path(), unix.MNT_DETACH)
	if err := errors.Join(err, os.Remove(n.Path())); err != nil {
		return fmt.Errorf("remove the network namespace %s: %w", n.name, err)
	}
	return nil
}
