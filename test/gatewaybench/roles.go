package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/linkspan/linkspan/internal/gateway"
	"github.com/linkspan/linkspan/internal/logging"
	"github.com/linkspan/linkspan/pkg/gateway/certs"
	"github.com/linkspan/linkspan/pkg/gateway/egress"
	"github.com/linkspan/linkspan/pkg/gateway/stream"
	"github.com/linkspan/linkspan/pkg/gateway/tunnel"
	"github.com/linkspan/linkspan/pkg/gateway/wire"
	"github.com/linkspan/linkspan/test/figures"
	"github.com/linkspan/linkspan/test/gatewaybench/load"
)

// envRole makes this program one of the processes that take part.
const envRole = "LINKSPAN_GATEWAYBENCH_ROLE"

// Roles.
const (
	roleBackend       = "backend"
	roleClient        = "client"
	roleGateway       = "gateway"
	roleLinkerdEgress = "linkerd-egress"
)

func roles() map[string]func(context.Context, []string) error {
	return map[string]func(context.Context, []string) error{
		roleBackend: func(ctx context.Context, args []string) error {
			b, err := load.Listen(ctx, args[0])
			if err != nil {
				return err
			}
			return b.Serve(ctx)
		},
		roleClient: func(ctx context.Context, _ []string) error { return load.Serve(ctx, os.Stdin, os.Stdout) },
		roleGateway: func(ctx context.Context, args []string) error {
			return profiled(ctx, func(ctx context.Context) error {
				if code := gateway.Main(ctx, gateway.Streams{Out: os.Stdout, Err: os.Stderr}, "bench", args); code != 0 {
					return figures.Exited(code)
				}
				return nil
			})
		},
		roleLinkerdEgress: func(ctx context.Context, args []string) error {
			return profiled(ctx, func(ctx context.Context) error { return runLinkerdEgress(ctx, args) })
		},
	}
}

// startSelf starts this program in a role.
func startSelf(ctx context.Context, role, name, log string, env []string, args ...string) (*process, error) {
	c, err := selfCommand(role, name, log, env, args)
	if err != nil {
		return nil, err
	}
	return start(ctx, c)
}

func selfCommand(role, name, log string, env, args []string) (command, error) {
	self, err := os.Executable()
	if err != nil {
		return command{}, fmt.Errorf("finding this program: %w", err)
	}
	return command{name: name, program: self, args: args, log: log, env: append(env, envRole+"="+role)}, nil
}

// runLinkerdEgress is `gateway egress`, but for its admin server and for what it offers to gateways, which
// is Linkerd's ALPN alone. The product has no option for that, because nobody needs it.
func runLinkerdEgress(ctx context.Context, args []string) error {
	var shared gateway.Options
	opts := egress.Options{}
	fs := pflag.NewFlagSet(roleLinkerdEgress, pflag.ContinueOnError)
	shared.Bind(fs)
	opts.Bind(fs)
	if err := fs.Parse(args); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", shared.Kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS = -1
	log, _ := logging.New(shared.Log, os.Stderr)
	klog.SetLogger(log)
	registry := prometheus.NewRegistry()
	store := certs.NewStore(log, shared.Certs, certs.NewMetrics(registry, "gateway"), time.Now)
	if err := store.Load(); err != nil {
		return err
	}
	recorder := stream.NewRecorder(shared.AccessLog, os.Stdout, stream.NewMetrics(registry, stream.Egress)).LogTo(log)
	pool := tunnel.NewPool(opts.Tunnel(), tunnel.Dependencies{
		TLS:     func(identity string, _ ...string) (*tls.Config, error) { return store.Client(identity, wire.ALPN) },
		Trusted: store.StillTrusted,
	})
	server, err := egress.New(log, opts, config, pool, recorder, egress.NewMetrics(registry))
	if err != nil {
		return err
	}
	beside, end := context.WithCancel(context.WithoutCancel(ctx))
	var parts sync.WaitGroup
	defer parts.Wait()
	defer end()
	parts.Go(func() { pool.Run(beside) })
	parts.Go(func() { _ = recorder.Start(beside) }) // gives no error
	return server.Run(ctx)
}
