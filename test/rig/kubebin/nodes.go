package kubebin

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Names of the programs in the folder that EnsureNodes returns.
const (
	Scheduler  = "kube-scheduler"
	Kubelet    = "kubelet"
	Proxy      = "kube-proxy"
	Containerd = "containerd"
	Shim       = "containerd-shim-runc-v2"
	Ctr        = "ctr"
	Runc       = "runc"
	OCI        = "oci" // runs runc
	PTP        = "ptp"
	HostLocal  = "host-local"
	CoreDNS    = "coredns"
	Pause      = "pause"
)

// EnsureNodes returns a folder that holds what a node runs, beside the control plane's programs that Ensure returns. It
// takes the cache's or builds, as Ensure does. Nodes are of DefaultMinor always, and nobody has them ready in a folder of
// assets. Runc needs a C compiler.
func EnsureNodes(ctx context.Context, progress io.Writer) (string, error) {
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	module, version, cache, err := locate(DefaultMinor)
	if err != nil {
		return "", err
	}
	tools := filepath.Join(root, "hack", "nodes")
	mark, err := fingerprint(tools)
	if err != nil {
		return "", err
	}
	return build{
		what: "what Kubernetes nodes run", takes: "5 minutes",
		entry: "nodes-" + version + "-" + mark, wants: nodePrograms(), cache: cache, progress: progress,
		compile: func(ctx context.Context, b build, dir string) error {
			if err := b.kubernetes(ctx, module, version, dir, Scheduler, Kubelet, Proxy); err != nil {
				return err
			}
			return b.nodeTools(ctx, tools, dir)
		},
	}.ensure(ctx)
}

func nodePrograms() []string {
	return []string{Scheduler, Kubelet, Proxy, Containerd, Shim, Ctr, Runc, OCI, PTP, HostLocal, CoreDNS, Pause}
}

// nodeTools builds what is not Kubernetes, each out of a module of its own, whose versions bind nobody else.
func (b build) nodeTools(ctx context.Context, tools, dir string) error {
	into := dir + string(filepath.Separator)
	const (
		containerd = "github.com/containerd/containerd/v2/cmd/"
		plugins    = "github.com/containernetworking/plugins/plugins/"
	)
	static := []string{"CGO_ENABLED=0"}
	steps := []struct {
		module   string
		env      []string
		packages []string
	}{
		// It enters namespaces in C, before Go's runtime starts threads.
		{"runc", []string{"CGO_ENABLED=1"}, []string{"github.com/opencontainers/runc"}},
		{"containerd", static, []string{containerd + Containerd, containerd + Shim, containerd + Ctr}},
		{"cni", static, []string{plugins + "main/" + PTP, plugins + "ipam/" + HostLocal}},
		{"coredns", static, []string{"./..."}},
		{"oci", static, []string{"./..."}},
		{"pause", static, []string{"./..."}},
	}
	for _, step := range steps {
		args := append([]string{"-ldflags", "-s -w", "-o", into}, step.packages...)
		if err := b.goBuildWith(ctx, filepath.Join(tools, step.module), step.module, step.env, args...); err != nil {
			return err
		}
	}
	return nil
}

// fingerprint changes when a version or a program of the tool modules does.
func fingerprint(dir string) (string, error) {
	var files []string
	for _, pattern := range []string{"*/go.mod", "*/*.go"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", fmt.Errorf("list the tool modules of nodes: %w", err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		return "", errors.New("hack/nodes has no tool modules")
	}
	slices.Sort(files)
	sum := sha256.New()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("read a tool module of nodes: %w", err)
		}
		fmt.Fprintf(sum, "%s %d\n%s", filepath.Base(file), len(text), text)
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:6]), nil
}
