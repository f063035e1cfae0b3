package scenarios

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/linkspan/linkspan/test/rig"
	"github.com/linkspan/linkspan/test/rig/kubebin"
)

// linkWatch is a user who looks at kubectl get links in west all the time.
type linkWatch struct {
	mu   sync.Mutex
	seen []linkState
}

// linkState is a line that was shown.
type linkState struct {
	at   time.Time
	says string
}

// watchLinks looks until the test ends.
func (w *world) watchLinks(t *testing.T) *linkWatch {
	t.Helper()
	kubeconfig, err := w.west().AdminKubeconfig()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(w.west().Programs(), kubebin.Kubectl), "--kubeconfig="+kubeconfig, "--namespace="+homeNamespace,
		"get", "link", "east", "--watch", "--no-headers")
	cmd.SysProcAttr = rig.ChildAttributes()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l := &linkWatch{}
	var reading sync.WaitGroup
	reading.Go(func() { l.read(out) })
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Errorf("kubectl get links ended by itself: %v", err)
		}
		reading.Wait()
		_ = cmd.Wait() // it was killed, and says so
	})
	w.until(t, "kubectl get links shows one", func(context.Context) error { return l.shown() })
	return l
}

func (l *linkWatch) read(from io.Reader) {
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		l.mu.Lock()
		l.seen = append(l.seen, linkState{at: time.Now(), says: stateIn(lines.Text())})
		l.mu.Unlock()
	}
}

// stateIn is what a line says under READY, REASON and GATEWAY; what is not known is empty there. The columns before are
// NAME and CLUSTER, SERVICES is in between, AGE is the last one.
func stateIn(line string) string {
	var words []string
	for i, word := range strings.Fields(line) {
		const before = 2
		if number := strings.Trim(word, "0123456789") == ""; i >= before && !number {
			words = append(words, word)
		}
	}
	return strings.Join(words[:max(0, len(words)-1)], " ")
}

func (l *linkWatch) shown() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.seen) == 0 {
		return errors.New("it has shown nothing")
	}
	return nil
}

// during is what was shown since a time: the state then, and each change with its seconds.
func (l *linkWatch) during(began time.Time) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all, last := "", ""
	for _, s := range l.seen {
		switch {
		case s.at.Before(began):
			all = s.says
		case s.says != last:
			all += fmt.Sprintf(", after %.1f s %s", s.at.Sub(began).Seconds(), s.says)
		}
		last = s.says
	}
	return all
}
