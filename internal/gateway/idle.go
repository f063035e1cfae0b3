package gateway

import (
	"github.com/spf13/cobra"

	"github.com/linkspan/linkspan/internal/arguments"
)

// newIdleCommand makes the command of a container that is there because a pod needs one. It opens no port, reads no
// file and asks nobody: all of the pod's work is another container's.
func newIdleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "idle",
		Short: "Do nothing until told to stop, beside a Linkerd proxy that is the gateway",
		Long: `Do nothing until told to stop, beside a Linkerd proxy that is the gateway.

A pod needs a container of its own before a proxy is injected into it. This one opens no port, asks nobody and takes no
processor time; it ends at SIGTERM, at once.`,
		Args: arguments.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			<-cmd.Context().Done() // being told to stop is how it is meant to end, so it is no error
			return nil
		},
	}
}
