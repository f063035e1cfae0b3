package pair

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/linkspan/linkspan/test/app/manifests"
	"github.com/linkspan/linkspan/test/nodes"
	"github.com/linkspan/linkspan/test/rig"
	"github.com/linkspan/linkspan/test/rig/kubebin"
)

const (
	// Registry is what names of our images begin with: that of docs/walkthrough.yaml.
	Registry = "example.org/linkspan"
	// Version is the images' tag, and what the programs in them say of themselves.
	Version = "dev"

	west, east = "west", "east"
)

// Pair is the two clusters, of two nodes each.
type Pair struct {
	Fleet *nodes.Fleet
	// Checkout is the folder of the source, where scripts run.
	Checkout string

	dir string
}

// Prepare fetches what the programs are built from, and builds helm, where that has not happened yet. It has to be called
// before the program is isolated: afterwards there is no network to download modules from, and it does nothing.
func Prepare(ctx context.Context) error {
	if os.Getenv(rig.EnvEntry) != "" {
		return nil
	}
	if err := nodes.Supported(); err != nil { // before minutes of building
		return err
	}
	checkout, err := kubebin.ModuleRoot()
	if err != nil {
		return err
	}
	if err := download(ctx, checkout); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(checkout, "hack/helm/helm"), "version", "--short")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build helm: %w", err)
	}
	return nil
}

// download fills the module cache of this user, which another who built the programs before need not share.
func download(ctx context.Context, module string) error {
	cmd := exec.CommandContext(ctx, "go", "mod", "download")
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("download modules: %w\n%s", err, bytes.TrimSpace(out))
	}
	return nil
}

// Start builds the programs and their images, and starts the clusters. The program must be isolated: see nodes.Isolate.
func Start(ctx context.Context, progress io.Writer) (*Pair, error) {
	checkout, err := kubebin.ModuleRoot()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "linkspan-pair-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	p := &Pair{Checkout: checkout, dir: dir}
	if err := p.start(ctx, progress); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Pair) start(ctx context.Context, progress io.Writer) error {
	archives, err := p.images(ctx)
	if err != nil {
		return err
	}
	if err := p.buildMirror(ctx); err != nil {
		return err
	}
	p.Fleet, err = nodes.Start(ctx, nodes.Options{
		Clusters: []nodes.ClusterOptions{clusterOptions(west), clusterOptions(east)}, Images: archives, Progress: progress,
	})
	if err != nil {
		return err
	}
	return p.writeKubeconfig()
}

// clusterOptions let a node be missed after seconds rather than a minute, as clusters do whose owners care for that.
func clusterOptions(name string) nodes.ClusterOptions {
	return nodes.ClusterOptions{Name: name, Nodes: 2, ControllerArgs: []string{"--node-monitor-grace-period=12s"}}
}

// images makes those of both programs and of the sample application.
func (p *Pair) images(ctx context.Context) ([]string, error) {
	binaries := []nodes.Binary{
		{Image: Registry + "/mirror:" + Version, Package: "./cmd/controller", Dir: p.Checkout},
		{Image: Registry + "/gateway:" + Version, Package: "./cmd/gateway", Dir: p.Checkout},
		{Image: manifests.Image, Package: "./test/app", Dir: p.Checkout},
	}
	archives := make([]string, len(binaries))
	for i, binary := range binaries {
		archive, err := nodes.Archive(ctx, p.dir, binary)
		if err != nil {
			return nil, err
		}
		archives[i] = archive
	}
	return archives, nil
}

// buildMirror makes the program that users have on their own machine.
func (p *Pair) buildMirror(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w -X main.version="+Version,
		"-o", filepath.Join(p.dir, "bin")+string(filepath.Separator), "./cmd/mirror")
	cmd.Dir = p.Checkout
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build mirror: %w\n%s", err, out)
	}
	return nil
}

// writeKubeconfig makes one file with a context for each cluster, called as the cluster is.
func (p *Pair) writeKubeconfig() error {
	all := clientcmdapi.NewConfig()
	for _, c := range p.Fleet.Clusters() {
		path, err := c.AdminKubeconfig()
		if err != nil {
			return err
		}
		one, err := clientcmd.LoadFromFile(path)
		if err != nil {
			return fmt.Errorf("read the kubeconfig of %s: %w", c.Name(), err)
		}
		from := one.Contexts[one.CurrentContext]
		all.Clusters[c.Name()], all.AuthInfos[c.Name()] = one.Clusters[from.Cluster], one.AuthInfos[from.AuthInfo]
		all.Contexts[c.Name()] = &clientcmdapi.Context{Cluster: c.Name(), AuthInfo: c.Name()}
	}
	if err := clientcmd.WriteToFile(*all, p.Kubeconfig()); err != nil {
		return fmt.Errorf("write the kubeconfig: %w", err)
	}
	return nil
}

// West is the cluster west.
func (p *Pair) West() *nodes.Cluster { return p.Fleet.Cluster(west) }

// East is the cluster east.
func (p *Pair) East() *nodes.Cluster { return p.Fleet.Cluster(east) }

// Dir is a folder that goes with the pair, for files of whoever uses it.
func (p *Pair) Dir() string { return p.dir }

// Kubeconfig is a file with the contexts west and east.
func (p *Pair) Kubeconfig() string { return filepath.Join(p.dir, "kubeconfig") }

// Environment is what a user's shell has beside the machine's: mirror, helm and kubectl on the path, and the kubeconfig.
func (p *Pair) Environment() []string {
	path := fmt.Sprintf("%s:%s:%s:%s", filepath.Join(p.dir, "bin"), filepath.Join(p.Checkout, "hack/helm"), p.West().Programs(), os.Getenv("PATH"))
	return []string{"PATH=" + path, "KUBECONFIG=" + p.Kubeconfig(), "HELM_CACHE_HOME=" + filepath.Join(p.dir, "helm")}
}

// Shell is a command for another terminal of this machine: a shell where the clusters can be reached, with the environment of
// Run.
func (p *Pair) Shell() (string, error) {
	script := fmt.Sprintf("#!/bin/sh\ncd '%s'\nexec env '%s' bash\n", p.Checkout, strings.Join(p.Environment(), "' '"))
	path := filepath.Join(p.dir, "shell")
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil { //nolint:gosec // it is a program
		return "", fmt.Errorf("write the way in: %w", err)
	}
	return p.Fleet.Reach(path), nil
}

// Run runs a script as a user would, from the checkout's folder, until a command of it fails. It gives its standard
// output, and an error with its standard error. Both are shown as well.
func (p *Pair) Run(ctx context.Context, script string, show io.Writer) (string, error) {
	cmd := command(ctx, script)
	cmd.Dir, cmd.Env = p.Checkout, append(os.Environ(), p.Environment()...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, show), io.MultiWriter(&complaints, show)
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, bytes.TrimSpace(complaints.Bytes()))
	}
	return out.String(), nil
}

// endPatience is how long what a script has started may hold on to its output after the script's end.
const endPatience = 5 * time.Second

// command runs a script, and ends it with all that it has started when ctx does.
func command(ctx context.Context, script string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.SysProcAttr = rig.ChildAttributes()
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = endPatience
	return cmd
}

// Close ends the clusters and removes the folder.
func (p *Pair) Close() error {
	var err error
	if p.Fleet != nil {
		err = p.Fleet.Close()
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}
