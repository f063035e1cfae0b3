package controller

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/linkspan/linkspan/pkg/gateway/certs"
	"github.com/linkspan/linkspan/pkg/gateway/wire"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/probe"
)

// probeCertificates is the subsystem of the metrics of the certificates that probes show.
const probeCertificates = "probe_client"

// probing makes what probes gateways: by HTTP and, where certificates are given, by a TLS handshake too.
func probing(mgr ctrl.Manager, opts Options, log logr.Logger, changed func(link.Name)) (*probe.Gateways, error) {
	metrics := probe.NewMetrics(opts.registry())
	var options []probe.Option
	if opts.Resolver != nil {
		options = append(options, probe.WithResolver(opts.Resolver))
	}
	if !opts.ProbeCerts.Configured() {
		return probe.NewGateways(opts.Probe, log, metrics, changed, options...), nil
	}
	store := certs.NewStore(log.WithName("certs"), opts.ProbeCerts, certs.NewMetrics(opts.registry(), probeCertificates), time.Now)
	if err := store.Load(); err != nil {
		// They may come later. Until then verdicts stay as they are, and say why.
		log.Error(err, "The certificates for probing cannot be used; waiting for others")
	}
	if err := mgr.Add(onAllReplicas(store.Start)); err != nil {
		return nil, fmt.Errorf("reading the certificates for probing: %w", err)
	}
	options = append(options, probe.WithTLS(func(server string) (*tls.Config, error) {
		if err := store.Ready(); err != nil {
			return nil, err
		}
		return store.Client(server, wire.ALPN)
	}))
	return probe.NewGateways(opts.Probe, log, metrics, changed, options...), nil
}

// onAllReplicas is a part that does not wait to become the leader, so that a new leader has what it needs.
type onAllReplicas func(context.Context) error

// Start implements manager.Runnable.
func (r onAllReplicas) Start(ctx context.Context) error { return r(ctx) }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (onAllReplicas) NeedLeaderElection() bool { return false }
