package gateway

import (
	"cmp"
	"context"
	"errors"
	"sync"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"

	"github.com/linkspan/linkspan/internal/arguments"
	"github.com/linkspan/linkspan/pkg/gateway/certs"
	"github.com/linkspan/linkspan/pkg/gateway/egress"
	"github.com/linkspan/linkspan/pkg/gateway/stream"
	"github.com/linkspan/linkspan/pkg/gateway/tunnel"
)

// egressOptions are all options of `gateway egress`.
type egressOptions struct {
	Options

	Egress egress.Options
}

func (o *egressOptions) bind(fs *pflag.FlagSet, namespace string) {
	o.Egress.Namespace = cmp.Or(o.Egress.Namespace, namespace)
	o.Bind(fs)
	o.Egress.Bind(fs)
}

func (o *egressOptions) validate() error {
	return errors.Join(o.Validate(), o.Egress.Validate())
}

func newEgressCommand(streams Streams, version string, adopt func(logr.Logger)) *cobra.Command {
	o := &egressOptions{Options: Options{Version: version}}
	cmd := &cobra.Command{
		Use:   "egress",
		Short: "Take streams of this cluster's clients to the gateways of other clusters",
		Long: `Take streams of this cluster's clients to the gateways of other clusters, until it is told to stop.

It runs in the cluster that has the mirrors, and listens on the ports that the mirror controller gave to them.
It reads mirrors and Links from its API server, and no credentials of other clusters.`,
		Args: arguments.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			config, err := o.cluster("linkspan-gateway-egress")
			if err != nil {
				return err
			}
			return run(cmd.Context(), stream.Egress, o.Options, streams, adopt, func(_ context.Context, p parts) (Server, error) {
				return o.build(p, config)
			})
		},
	}
	o.bind(cmd.Flags(), ownNamespace())
	return cmd
}

// egressServer is an egress, and its connections to gateways.
type egressServer struct {
	*egress.Server

	pool  *tunnel.Pool
	store *certs.Store
}

func (o *egressOptions) build(p parts, config *rest.Config) (Server, error) {
	s := &egressServer{store: p.store}
	dial := egressDialer().DialContext
	config = rest.CopyConfig(config)
	config.Dial = dial
	s.pool = tunnel.NewPool(o.Egress.Tunnel(), tunnel.Dependencies{
		TLS: p.store.Client, Trusted: p.store.StillTrusted, Dial: dial,
		Dialed: func(err *tunnel.DialError) { countDial(p.recorder, err) },
		Opened: func() func(bool) { return countConnection(p.recorder) },
	})
	var err error
	s.Server, err = egress.New(p.log.WithName("egress"), o.Egress, config, s.pool, p.recorder, egress.NewMetrics(p.registry))
	return s, err
}

// countDial counts an attempt to connect to a gateway that failed.
func countDial(r *stream.Recorder, err *tunnel.DialError) {
	switch {
	case err == nil:
	case err.Step == tunnel.StepTLS:
		r.HandshakeFailed(stream.Egress, certs.FailureReason(err))
	default:
		r.DialFailed(stream.Egress, stream.DialReason(err))
	}
}

// countConnection counts a connection to a gateway, and then its end.
func countConnection(r *stream.Recorder) (closed func(shaken bool)) {
	r.ConnectionOpened(stream.Egress)
	return func(shaken bool) {
		result := stream.ConnectionServed
		if !shaken {
			result = stream.ConnectionFailed
		}
		r.ConnectionClosed(stream.Egress, result)
	}
}

// Run implements Server. The connections to gateways end after the streams on them.
func (s *egressServer) Run(ctx context.Context) error {
	connected, disconnect := context.WithCancel(context.WithoutCancel(ctx))
	var connections sync.WaitGroup
	connections.Go(func() { s.pool.Run(connected) })
	connections.Go(func() { s.followCertificates(connected) })
	err := s.Server.Run(ctx)
	disconnect()
	connections.Wait()
	return err
}

// followCertificates makes new connections with new certificates.
func (s *egressServer) followCertificates(ctx context.Context) {
	for {
		changed := s.store.Changed()
		select {
		case <-ctx.Done():
			return
		case <-changed:
			s.pool.Renew()
		}
	}
}
