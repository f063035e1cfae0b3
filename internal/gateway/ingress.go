package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"

	"github.com/linkspan/linkspan/internal/arguments"
	"github.com/linkspan/linkspan/pkg/gateway/exports"
	"github.com/linkspan/linkspan/pkg/gateway/ingress"
	"github.com/linkspan/linkspan/pkg/gateway/policy"
	"github.com/linkspan/linkspan/pkg/gateway/stream"
)

// ingressOptions are all options of `gateway ingress`.
type ingressOptions struct {
	Options

	Ingress ingress.Options
	Exports exports.Options
}

func (o *ingressOptions) bind(fs *pflag.FlagSet) {
	o.Bind(fs)
	o.Ingress.Bind(fs)
	o.Exports.Bind(fs)
}

func (o *ingressOptions) validate() error {
	return errors.Join(o.Validate(), o.Ingress.Validate(), o.Exports.Validate())
}

// ingress are the options of the ingress itself. Requests of HTTP/2 get as long to end as all other streams: what has
// not ended by then is cut with them.
func (o *ingressOptions) ingress() ingress.Options {
	options := o.Ingress
	options.HTTP.DrainTimeout = o.DrainTimeout
	return options
}

func newIngressCommand(streams Streams, version string, adopt func(logr.Logger)) *cobra.Command {
	o := &ingressOptions{Options: Options{Version: version}}
	cmd := &cobra.Command{
		Use:   "ingress",
		Short: "Let streams of other clusters in, to exported services",
		Long: `Let streams of other clusters in, to exported services and to nothing else, until it is told to stop.

It runs behind a load balancer in the cluster that exports services, and reads these from its API server.
It needs a certificate, its key and the trust anchors that the clusters have in common.`,
		Args: arguments.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			config, err := o.cluster("linkspan-gateway-ingress")
			if err != nil {
				return err
			}
			return run(cmd.Context(), stream.Ingress, o.Options, streams, adopt, func(ctx context.Context, p parts) (Server, error) {
				return o.build(ctx, p, config)
			})
		},
	}
	o.bind(cmd.Flags())
	return cmd
}

// ingressServer is an ingress, and the exports that it reads.
type ingressServer struct {
	*ingress.Server

	exports *exports.Table
	config  *rest.Config
}

// build makes the ingress, and opens its port.
func (o *ingressOptions) build(ctx context.Context, p parts, config *rest.Config) (Server, error) {
	s := &ingressServer{config: config}
	var err error
	s.exports, err = exports.NewTable(p.log.WithName("exports"), o.Exports, exports.NewMetrics(p.registry), s.exportChanged)
	if err != nil {
		return nil, fmt.Errorf("reading what is exported: %w", err)
	}
	s.Server, err = ingress.New(o.ingress(), ingress.Dependencies{
		Log: p.log.WithName("ingress"), Certificates: p.store, Exports: s.exports, ClusterDomain: o.Exports.ClusterDomain, Recorder: p.recorder,
		Policy: policy.NewMetrics(p.registry),
	})
	if err != nil {
		return nil, err
	}
	if err := s.Listen(ctx); err != nil {
		return nil, err
	}
	p.log.Info("Listening", "address", s.Addr().String())
	return s, nil
}

// exportChanged is called once exports are watched, and the server is there by then.
func (s *ingressServer) exportChanged(namespace, name string) { s.ExportChanged(namespace, name) }

// Run implements Server. Exports are followed until the last stream has ended.
func (s *ingressServer) Run(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)
	var watching sync.WaitGroup
	var watchErr error
	watching.Go(func() {
		defer end() // an ingress that cannot know what is exported is of no use
		watchErr = s.exports.Watch(ctx, s.config)
	})
	err := s.Server.Run(ctx)
	end()
	watching.Wait()
	return errors.Join(err, watchErr)
}

var errNotSynced = errors.New("the cluster's exported services have not been read yet")

// Ready implements Server.
func (s *ingressServer) Ready() error {
	if !s.exports.Synced() {
		return errNotSynced
	}
	return s.Server.Ready()
}
