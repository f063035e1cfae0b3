package rig

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/linkspan/linkspan/test/rig/kubebin"
	"github.com/linkspan/linkspan/test/rig/process"
)

// etcd is one etcd process. Several API servers may use it, each under its own prefix.
type etcd struct {
	programs string
	dir      string
	url      string
	peerURL  string

	mu   sync.Mutex
	proc *process.Process
}

func newEtcd(programs, dir string) (*etcd, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make etcd's folder: %w", err)
	}
	return &etcd{
		programs: programs,
		dir:      dir,
		url:      fmt.Sprintf("http://127.0.0.1:%d", ports[0]),
		peerURL:  fmt.Sprintf("http://127.0.0.1:%d", ports[1]),
	}, nil
}

func (e *etcd) start(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, err := process.Start(e.dir, "etcd", filepath.Join(e.programs, kubebin.Etcd), []string{
		"--name=rig",
		"--data-dir=" + e.dataDir(),
		"--listen-client-urls=" + e.url,
		"--advertise-client-urls=" + e.url,
		"--listen-peer-urls=" + e.peerURL,
		"--initial-advertise-peer-urls=" + e.peerURL,
		"--initial-cluster=rig=" + e.peerURL,
		"--unsafe-no-fsync", // a rig's data dies with it
		"--log-level=warn",
		"--quota-backend-bytes=4294967296",
	})
	if err != nil {
		return err
	}
	e.proc = p
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return p.WaitReady(ctx, func(ctx context.Context) error { return getOK(ctx, client, e.url+"/health") })
}

func (e *etcd) stop() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.proc == nil {
		return nil
	}
	// Nothing of it is worth a clean shutdown: it writes no data that anyone needs.
	return e.proc.Kill()
}

// wipe forgets everything, behind the same URL.
func (e *etcd) wipe(ctx context.Context) error {
	if err := e.stop(); err != nil {
		return err
	}
	if err := os.RemoveAll(e.dataDir()); err != nil {
		return fmt.Errorf("remove etcd's data: %w", err)
	}
	return e.start(ctx)
}

func (e *etcd) dataDir() string { return filepath.Join(e.dir, "data") }

// getOK asks a URL and wants status 200.
func getOK(ctx context.Context, client *http.Client, url string) (err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}
