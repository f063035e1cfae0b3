package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
	"github.com/linkspan/linkspan/test/rig/kubebin"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

// storyPatience is for the whole story on a machine that is busy with other tests.
const storyPatience = 5 * time.Minute

// The story ends well with the real programs, what it invites people to use works, and Ctrl-C leaves
// nothing behind.
func TestStory(t *testing.T) {
	options := stageOptions{listeners: listen(t)}
	options.mirror, options.gateway = build(t)
	ctx, ctrlC := context.WithTimeout(t.Context(), storyPatience)
	defer ctrlC()
	out := &screen{}
	ended := make(chan error, 1)
	go func() {
		ended <- perform(ctx, &teller{w: out}, options)
	}()
	if err := out.await(ctx, "Both clusters stay up until Ctrl-C.", "/metrics", ended); err != nil {
		ctrlC()
		t.Fatalf("%v\n%s", err, out)
	}
	want := fmt.Sprintf("All %d steps went as told", len(story()))
	if text := out.String(); !strings.Contains(text, want) || strings.Contains(text, "\x1b") {
		t.Errorf("expected %q and no colours:\n%s", want, text)
	}
	west := out.find(t, `kubeconfig of west +(\S+)`)
	links := &v1alpha3.LinkList{}
	if err := clientOf(t, west).List(t.Context(), links); err != nil || len(links.Items) != 1 {
		t.Errorf("through %s: got %d Links and error %v, want one Link", filepath.Base(west), len(links.Items), err)
	}
	if text, err := get(t.Context(), out.find(t, `--metrics-url=(http://127\.0\.0\.1:\d+/metrics)\n$`)); err != nil || text == "" {
		t.Errorf("the metrics: got error %v, want text", err)
	}
	exportAgain(t, out)
	ctrlC()
	if err := <-ended; err != nil {
		t.Errorf("Ctrl-C after the story: got error %v, want none\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Dir(west)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the demo's folder is still there: %v", err)
	}
}

// exportAgain exports web as people are invited to, and asks it.
func exportAgain(t *testing.T, out *screen) {
	t.Helper()
	web := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: "web"}}
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, v1alpha3.LabelExported, v1alpha3.ExportedGateway)
	if err := clientOf(t, out.find(t, `kubeconfig of east +(\S+)`)).Patch(t.Context(), web, client.RawPatch(types.MergePatchType, patch)); err != nil {
		t.Fatal(err)
	}
	url := out.find(t, `curl (http://\S+)`)
	rig.ExpectSoon(t, func(ctx context.Context) error {
		answer, err := get(ctx, url)
		if err == nil && answer != "web-1 in east" {
			err = fmt.Errorf("%s answers %q, want an answer of web-1", url, answer)
		}
		return err
	})
}

// A command that fails ends the story, with what was expected of it.
func TestStoryTellsFailure(t *testing.T) {
	broken, err := exec.LookPath("false")
	if err != nil {
		t.Skip("this machine has no program named false")
	}
	ctx, cancel := context.WithTimeout(t.Context(), storyPatience)
	defer cancel()
	out := &screen{}
	options := stageOptions{mirror: broken, gateway: broken, listeners: listen(t), exit: true}
	if err := perform(ctx, &teller{w: out}, options); err == nil {
		t.Errorf("the story ends well with a broken program:\n%s", out)
	}
	if want := "FAILED mirror allow: expected it to succeed"; !strings.Contains(out.String(), want) {
		t.Errorf("expected %q:\n%s", want, out)
	}
}

// A claim that is wrong is found out.
func TestExpectRow(t *testing.T) {
	const table = "NAME   READY   GATEWAY\neast   True    Alive\n"
	for name, test := range map[string]struct {
		table string
		cells []string
		fails bool
	}{
		"as expected":    {table, []string{"east", "True", "Alive"}, false},
		"first cells":    {table, []string{"east", "True"}, false},
		"another value":  {table, []string{"east", "False"}, true},
		"too few cells":  {table, []string{"east", "True", "Alive", "5s"}, true},
		"only a heading": {"NAME\n", []string{"east"}, true},
		"no output":      {"", []string{"east"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if err := expectRow(test.table, test.cells...); (err != nil) != test.fails {
				t.Errorf("got error %v, want one: %t", err, test.fails)
			}
		})
	}
}

func build(t *testing.T) (mirror, gateway string) {
	t.Helper()
	root, err := kubebin.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "./cmd/mirror", "./cmd/gateway")
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the programs: %v\n%s", err, text)
	}
	return filepath.Join(dir, programMirror), filepath.Join(dir, programGateway)
}

// listen opens what Isolate would open outside the namespace.
func listen(t *testing.T) []net.Listener {
	t.Helper()
	var listeners []net.Listener
	for _, address := range hostListeners() {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, listener)
	}
	return listeners
}

func clientOf(t *testing.T, kubeconfig string) client.Client {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	scheme, err := rig.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	made, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// screen is what the story has told so far. It may be read while it is written.
type screen struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed and replaced by each write; nil until somebody waits
}

// Write implements io.Writer.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	return s.text.Write(p)
}

// String implements fmt.Stringer.
func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await returns once last was written after first, or when the story has ended before that.
func (s *screen) await(ctx context.Context, first, last string, ended <-chan error) error {
	for {
		s.mu.Lock()
		_, after, found := strings.Cut(s.text.String(), first)
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		if found && strings.Contains(after, last+"\n") {
			return nil
		}
		select {
		case <-changed:
		case err := <-ended:
			return fmt.Errorf("the story ended too early: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// find is the first group of a pattern.
func (s *screen) find(t *testing.T, pattern string) string {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(s.String())
	if match == nil {
		t.Fatalf("expected %s:\n%s", pattern, s)
	}
	return match[1]
}
