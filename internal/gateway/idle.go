package gateway

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/linkspan/linkspan/internal/arguments"
)

// newIdleCommand makes the command of a container that is there because a pod needs one. It opens no port, reads no
// file and asks nobody: all of the pod's work is another container's.
func newIdleCommand() *cobra.Command {
	var delay time.Duration
	cmd := &cobra.Command{
		Use:   "idle",
		Short: "Do nothing until told to stop, beside a Linkerd proxy that is the gateway",
		Long: `Do nothing until told to stop, beside a Linkerd proxy that is the gateway.

A pod needs a container of its own before a proxy is injected into it. This one opens no port, asks nobody and takes no
processor time. It ends at SIGTERM, after --drain-delay: a proxy that runs as a sidecar in Kubernetes' sense is told to end only
when all other containers have ended, and so goes on accepting for as long.`,
		Args: arguments.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if delay < 0 {
				return fmt.Errorf("--drain-delay is %v, must not be negative", delay)
			}
			<-cmd.Context().Done() // being told to stop is how it is meant to end, so it is no error
			<-time.After(delay)    // a second signal ends the process
			return nil
		},
	}
	cmd.Flags().DurationVar(&delay, "drain-delay", 0, "how long to stay after SIGTERM, until clients go elsewhere")
	return cmd
}
