package nodes

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linkspan/linkspan/test/rig"
	"github.com/linkspan/linkspan/test/rig/kubebin"
)

// askInterval is how often something is asked that tells nobody by itself.
const askInterval = 100 * time.Millisecond

// Await asks until it hears no error.
func Await(ctx context.Context, ask func(context.Context) error) error {
	tick := time.NewTicker(askInterval)
	defer tick.Stop()
	var last error
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil { // a question that is cut off by the end of the time says nothing
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), last)
		case <-tick.C:
		}
	}
}

// AdminKubeconfig is a file, for programs such as helm and mirror, made once.
func (c *Cluster) AdminKubeconfig() (string, error) {
	path := filepath.Join(c.dir, "admin.kubeconfig")
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	data, err := c.Kubeconfig(c.Admin())
	if err != nil {
		return "", err
	}
	return path, writePrivate(path, data)
}

// Reach is a command line for people outside: it runs a program where the clusters can be reached.
func (f *Fleet) Reach(command ...string) string {
	return strings.Join(append([]string{"nsenter", "--target=" + os.Getenv(rig.EnvEntry), "--net", "--mount", "--pid", "--"}, command...), " ")
}

// Kubectl runs kubectl as administrator and returns what it writes to its standard output.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.kubectl(ctx, "", args...)
}

// Apply creates or changes the objects of a manifest.
func (c *Cluster) Apply(ctx context.Context, manifest string) error {
	_, err := c.kubectl(ctx, manifest, "apply", "--server-side", "--filename=-")
	return err
}

// Exec runs a command in a pod's container, its first when container is empty, and returns its standard output. The
// error has its standard error.
func (c *Cluster) Exec(ctx context.Context, namespace, pod, container string, command ...string) (string, error) {
	args := []string{"exec", "--namespace=" + namespace, pod}
	if container != "" {
		args = append(args, "--container="+container)
	}
	return c.Kubectl(ctx, slices.Concat(args, []string{"--"}, command)...)
}

// Logs are those of all of a pod's containers.
func (c *Cluster) Logs(ctx context.Context, namespace, pod string) (string, error) {
	return c.Kubectl(ctx, "logs", "--namespace="+namespace, "--all-containers", "--prefix", pod)
}

func (c *Cluster) kubectl(ctx context.Context, input string, args ...string) (string, error) {
	kubeconfig, err := c.AdminKubeconfig()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(c.Programs(), kubebin.Kubectl), append([]string{"--kubeconfig=" + kubeconfig}, args...)...)
	cmd.SysProcAttr = rig.ChildAttributes()
	cmd.Stdin = strings.NewReader(input)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("cluster %s: kubectl %s: %w: %s", c.Name(), strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}

func writePrivate(path string, data []byte) error {
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

// unmountBelow takes down what kubelets and containerds mounted in a folder, so that it can be removed.
func unmountBelow(dir string) error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	var targets []string
	for line := range strings.Lines(string(text)) {
		const target = 4 // the field that says where
		if fields := strings.Fields(line); len(fields) > target && strings.HasPrefix(fields[target], dir+"/") {
			targets = append(targets, fields[target])
		}
	}
	for _, path := range slices.Backward(targets) {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", path, err)
		}
	}
	return nil
}
