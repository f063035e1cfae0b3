package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/linkspan/linkspan/internal/arguments"
	"github.com/linkspan/linkspan/internal/controller"
)

// namespaceFile holds the namespace of the pod that we run in.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

func newControllerCommand(streams Streams, globals *globalOptions, version string) *cobra.Command {
	opts := controller.Options{Version: version}
	cmd := &cobra.Command{
		Use:   "controller",
		Short: "Run the controller that keeps mirrors right",
		Long: `Run the controller that keeps mirrors right, until it is told to stop.

It reads Links and their credentials from one namespace and serves all of them. In a cluster it needs
no flags; elsewhere it uses --kubeconfig and --context. Stopping it removes nothing.`,
		Args: arguments.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runController(cmd.Context(), streams, globals, opts)
		},
	}
	namespace, inCluster := ownNamespace()
	opts.Bind(cmd.Flags(), namespace, inCluster)
	return cmd
}

// ownNamespace is where Links are read by default, and whether we run in a cluster.
func ownNamespace() (namespace string, inCluster bool) {
	data, err := os.ReadFile(namespaceFile)
	if own := strings.TrimSpace(string(data)); err == nil && own != "" {
		return own, true
	}
	return controller.DefaultNamespace, false
}

func runController(ctx context.Context, streams Streams, globals *globalOptions, opts controller.Options) error {
	if err := opts.Validate(); err != nil {
		return err
	}
	cfg, err := controllerConfig(globals)
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		// The heap is small and mostly caches: collecting twice as often costs no visible processor
		// time and saves an eighth of the memory (make bench).
		debug.SetGCPercent(50)
	}
	return controller.Run(ctx, cfg, opts, streams.Err)
}

// controllerConfig prefers what the flags name, then the cluster that we run in, then the user's kubeconfig.
func controllerConfig(globals *globalOptions) (*rest.Config, error) {
	if globals.kubeconfig == "" && globals.context == "" {
		cfg, err := rest.InClusterConfig()
		if err == nil {
			return cfg, nil
		}
		if !errors.Is(err, rest.ErrNotInCluster) {
			return nil, fmt.Errorf("reading the pod's own credentials: %w", err)
		}
	}
	if err := globals.validate(); err != nil {
		return nil, err
	}
	// Not restConfig: its time limit on each request would end every watch.
	cfg, err := globals.loader().ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("no cluster to run against: give --kubeconfig, or run in a pod")
	}
	return cfg, err
}
