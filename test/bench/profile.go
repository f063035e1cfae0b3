package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/linkspan/linkspan/internal/controller"
	"github.com/linkspan/linkspan/test/figures"
)

// envProfile makes this program the controller: the product serves no profiles, so that its account
// of itself cannot be used against it.
const envProfile = "LINKSPAN_BENCH_PROFILE"

// runProfiled is `mirror controller` with a CPU profile of its whole life and a memory profile of its
// end, in files whose names begin with $LINKSPAN_BENCH_PROFILE.
func runProfiled(ctx context.Context, args []string) error {
	var opts controller.Options
	fs := pflag.NewFlagSet("controller", pflag.ContinueOnError)
	opts.Bind(fs, linksNamespace, false)
	kubeconfig := fs.String("kubeconfig", "", "path of the kubeconfig file to use")
	if err := fs.Parse(args); err != nil {
		return err
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	return figures.Profiled(ctx, os.Getenv(envProfile), func(ctx context.Context) error {
		return controller.Run(ctx, cfg, opts, os.Stderr)
	})
}
