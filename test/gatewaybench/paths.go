package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/linkspan/linkspan/test/gatewaybench/load"
)

// way is how streams get from the client to the backend.
type way string

// Ways.
const (
	direct  way = "direct"
	haproxy way = "haproxy"
	lanes   way = "lanes"
	mux     way = "mux"
	linkerd way = "linkerd-wire"
)

func ways() []way { return []way{direct, haproxy, lanes, mux, linkerd} }

// variant is a way through a pair of gateways.
type variant struct {
	way way
	// egress and ingress are the addresses that are theirs alone, port is the egress port.
	egress, ingress string
	port            int
	// args are beside those that all have.
	args []string
	// via is what the ingress calls it.
	via string
}

func variants() []variant {
	return []variant{
		{way: lanes, egress: "203.0.113.21", ingress: "203.0.113.22", port: 20001, via: "lane"},
		{way: mux, egress: "203.0.113.31", ingress: "203.0.113.32", port: 20002, via: "mux", args: []string{"--lanes=1"}},
		{way: linkerd, egress: "203.0.113.41", ingress: "203.0.113.42", port: 20003, via: "tls"},
	}
}

func (v variant) cluster() string { return "to-" + string(v.way) }

// path is a way with the processes on it.
type path struct {
	way     way
	address string
	// egress and ingress are nil where nothing is between client and backend.
	egress, ingress *process
	// parked are streams that take the only lane, so that others share connections.
	parked []io.Closer
	// via is what the ingress calls it, and admin where it can be asked; empty for ways without one.
	via, admin string
}

func (p *path) processes() []*process {
	if p.egress == nil {
		return nil
	}
	return []*process{p.egress, p.ingress}
}

func (p *path) pids() []int {
	var pids []int
	for _, one := range p.processes() {
		pids = append(pids, one.pid())
	}
	return pids
}

// resident is the memory of both processes, in MiB.
func (p *path) resident() (float64, error) {
	var total int64
	for _, pid := range p.pids() {
		used, err := load.ReadUsage(pid)
		if err != nil {
			return 0, err
		}
		total += used.Resident
	}
	return float64(total) / (1 << 20), nil
}

// stop ends the egress first, so that nobody asks an ingress that is gone.
func (p *path) stop() error {
	var errs []error
	for _, one := range p.processes() {
		errs = append(errs, one.stop())
	}
	for _, one := range p.parked {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

// open makes a way ready for streams. Names of logs and profiles begin with the section's.
func (b *bench) open(ctx context.Context, section string, w way) (p *path, err error) {
	name := section + "-" + string(w)
	switch w {
	case direct:
		p = &path{way: w, address: backendAddress()}
	case haproxy:
		p, err = b.startHAProxy(ctx, name)
	default:
		p, err = b.startGateways(ctx, name, w)
	}
	if err != nil {
		return nil, err
	}
	running, cancel := whileRunning(ctx, p.processes()...)
	defer cancel()
	err = poll(running, startPatience, func(ctx context.Context) error { return p.try(ctx) })
	if err == nil && w == mux {
		err = p.park(running)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s is not ready: %w", w, err), p.stop())
	}
	return p, nil
}

// startPatience is for processes that start while others do. It ends a hang.
const startPatience = 30 * time.Second

// try is one request.
func (p *path) try(ctx context.Context) error {
	var c load.Client
	defer c.Close()
	result := c.Do(ctx, load.Spec{Kind: load.Connect, Address: p.address, Parallel: 1, Total: 1})
	if result.Error != "" {
		return errors.New(result.Error)
	}
	if result.Failed > 0 {
		return errors.New(result.Failure)
	}
	return nil
}

// startGateways starts `gateway ingress` and `gateway egress` as an operator would. They are told to end
// without the delays that are for other clusters' sake.
func (b *bench) startGateways(ctx context.Context, name string, w way) (*path, error) {
	var v variant
	for _, one := range variants() {
		if one.way == w {
			v = one
		}
	}
	p := &path{way: w, address: join(v.egress, v.port), via: v.via, admin: join(v.ingress, adminPort)}
	var err error
	p.ingress, err = b.startGateway(ctx, name+"-ingress", roleGateway, append([]string{
		"ingress", "--listen", join(v.ingress, ingressPort), "--admin-address", p.admin,
	}, b.shared(b.world.ingress)...))
	if err != nil {
		return nil, err
	}
	role, args := roleGateway, []string{"egress"}
	if w == linkerd {
		role, args = roleLinkerdEgress, nil
	}
	args = append(args, "--namespace", linksNamespace, "--bind-address", v.egress, "--max-connections", strconv.Itoa(2*maxIdle), "--max-client-connections", strconv.Itoa(2*maxIdle))
	args = append(append(args, v.args...), b.shared(b.world.egress)...)
	if w != linkerd {
		args = append(args, "--admin-address", join(v.egress, adminPort))
	}
	if p.egress, err = b.startGateway(ctx, name+"-egress", role, args); err != nil {
		return nil, errors.Join(err, p.ingress.stop())
	}
	return p, nil
}

func join(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

func (b *bench) shared(f files) []string {
	return []string{
		"--kubeconfig", b.world.kubeconfig, "--tls-cert", f.cert(), "--tls-key", f.key(), "--trust-anchors", f.anchors(),
		"--drain-delay", "0s", "--drain-timeout", "0s",
	}
}

// startGateway starts the program as it ships, unless only this one can do what is asked.
func (b *bench) startGateway(ctx context.Context, name, role string, args []string) (*process, error) {
	log := b.world.file(name + ".log")
	if b.opts.profile == "" && role == roleGateway {
		return start(ctx, command{name: name, program: os.Getenv(envProgram), args: args, log: log})
	}
	var env []string
	if b.opts.profile != "" {
		if err := os.MkdirAll(b.opts.profile, 0o755); err != nil {
			return nil, fmt.Errorf("making the folder of profiles: %w", err)
		}
		env = append(env, envProfile+"="+filepath.Join(b.opts.profile, name))
	}
	return startSelf(ctx, role, name, log, env, args...)
}

// Metrics of streams.
const (
	metricStreams     = "linkspan_gateway_streams_total"
	metricOpenStreams = "linkspan_gateway_open_streams"
)

// park takes the only lane, so that other streams have to share connections. The stream that tried the way
// may have it for another moment, and then the first one that is to take it does not get it.
func (p *path) park(ctx context.Context) error {
	return poll(ctx, startPatience, func(ctx context.Context) error {
		open, err := p.streams(ctx, metricOpenStreams)
		switch {
		case err != nil:
			return err
		case open["lane"] == 1 && len(p.parked) > 0:
			return nil
		case open["lane"] > 0:
			return errors.New("the lane is in use still")
		}
		conn, err := load.Park(p.address)
		if err != nil {
			return err
		}
		p.parked = append(p.parked, conn)
		return errors.New("the lane is not known to be in use yet")
	})
}

// streams asks the ingress about streams, by what carries them.
func (p *path) streams(ctx context.Context, metric string) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("asking for metrics: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking for metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	return sumByVia(response.Body, metric)
}
