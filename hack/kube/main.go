// Command kube builds the Kubernetes and etcd programs that the tests and the demo run, and prints their folder.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/linkspan/linkspan/test/rig/kubebin"
)

func main() {
	version := flag.String("version", kubebin.Minor(), "minor version pinned in hack/kube, such as v1.36")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	dir, err := kubebin.Ensure(ctx, *version, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kube:", err)
		os.Exit(1)
	}
	fmt.Println(dir)
}
