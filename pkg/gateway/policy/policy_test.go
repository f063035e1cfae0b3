package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// webClient and batClient are two clients of other clusters.
const (
	webClient = "web.shop.serviceaccount.identity.linkerd.cluster.local"
	batClient = "bat.cave.serviceaccount.identity.linkerd.cluster.local"
)

// lines is a log that can be looked at, by the goroutine that writes it.
type lines []string

func (l *lines) logger() logr.Logger {
	return funcr.New(func(_, text string) { *l = append(*l, text) }, funcr.Options{})
}

func (l *lines) text() string { return strings.Join(*l, "\n") }

// watched is a policy whose looks are the test's.
type watched struct {
	*Policy
	*testing.T
	file    string
	log     *lines
	changes int

	registry *prometheus.Registry
}

func watch(t *testing.T, text string, entries ...string) *watched {
	t.Helper()
	w := &watched{T: t, file: filepath.Join(t.TempDir(), "clients"), log: &lines{}}
	w.write(text)
	w.registry = prometheus.NewRegistry()
	w.Policy = New(w.log.logger(), Options{Clients: entries, File: w.file}, NewMetrics(w.registry), func() { w.changes++ })
	if err := w.Load(); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *watched) write(text string) {
	w.Helper()
	if err := os.WriteFile(w.file, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

// expect expects who is allowed, and how often the list has changed so far.
func (w *watched) expect(web, bat bool, changes int) {
	w.Helper()
	if w.Allows(webClient) != web || w.Allows(batClient) != bat {
		w.Errorf("allows web: %v, bat: %v; want %v, %v", w.Allows(webClient), w.Allows(batClient), web, bat)
	}
	if w.changes != changes {
		w.Errorf("%d changes were told, want %d", w.changes, changes)
	}
}

func (w *watched) expectStale(want float64) {
	w.Helper()
	if got := testutil.ToFloat64(w.metrics.stale); got != want {
		w.Errorf("linkspan_gateway_allowed_clients_stale is %v, want %v", got, want)
	}
}

// One broken file after the other is not good in between, and the file in force that comes back is.
func TestAFileThatStaysBrokenStaysStale(t *testing.T) {
	t.Parallel()
	w := watch(t, webClient)
	w.expectStale(0)
	for _, text := range []string{"web..shop", "bat..cave"} {
		w.write(text)
		w.look()
		w.look()
		w.expectStale(1)
	}
	w.write("-shop")
	w.look()
	w.expectStale(1)
	w.write(webClient)
	w.look()
	w.expect(true, false, 0)
	w.expectStale(0)
	if text := w.log.text(); strings.Count(text, "cannot be used") != 2 || strings.Count(text, "can be used again") != 1 {
		t.Errorf("the log says %s", text)
	}
	if problems, err := testutil.GatherAndLint(w.registry); err != nil || len(problems) > 0 {
		t.Errorf("the metrics: %v, %v", problems, err)
	}
}

func TestTheAllowListsFileIsFollowed(t *testing.T) {
	t.Parallel()
	w := watch(t, webClient+"\n")
	w.expect(true, false, 0)
	w.look()
	w.look()
	w.expect(true, false, 0)
	w.write(webClient + "\n" + batClient + "\n")
	w.look()
	w.look()
	w.expect(true, true, 1)
	w.write("# nobody\n")
	w.look()
	w.look()
	w.expect(false, false, 2)
	w.write("*")
	w.look()
	w.look()
	w.look()
	w.expect(true, true, 3)
	if n := len(*w.log); n != 3 {
		t.Errorf("three changes made %d lines of the log: %s", n, w.log.text())
	}
}

// A file that is written in place is empty for a moment, and half there for another.
func TestAFileThatIsBeingWrittenCutsNobody(t *testing.T) {
	t.Parallel()
	w := watch(t, webClient+"\n")
	for _, text := range []string{"", batClient[:10], batClient + "\n" + webClient[:30], batClient + "\n" + webClient + "\n"} {
		w.write(text)
		w.look()
		w.expect(true, false, 0)
	}
	w.look()
	w.expect(true, true, 1)
	// And one that is as it was when it is looked at again has not changed.
	w.write("")
	w.look()
	w.write(batClient + "\n" + webClient + "\n")
	w.look()
	w.write("")
	w.look()
	w.expect(true, true, 1)
}

func TestEntriesBesideTheFileStay(t *testing.T) {
	t.Parallel()
	w := watch(t, batClient, webClient)
	w.expect(true, true, 0)
	w.write("")
	w.look()
	w.look()
	w.expect(true, false, 1)
}

// What cannot be read or parsed leaves the list as it was, and is told once.
func TestAFileThatCannotBeUsedLeavesTheListInForce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, says string
		spoil      func(w *watched)
	}{
		{"is gone", "no such file", func(w *watched) { _ = os.Remove(w.file) }},
		{"is a folder", "is a directory", func(w *watched) {
			_ = os.Remove(w.file)
			_ = os.Mkdir(w.file, 0o700)
		}},
		{"has an entry that is none", "line 2", func(w *watched) { w.write(batClient + "\nweb..shop\n") }},
		{"is too long", "more than 10485760 bytes", func(w *watched) { w.write(strings.Repeat("#", maxFile+1)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := watch(t, webClient)
			c.spoil(w)
			for range 5 {
				w.look()
			}
			w.expect(true, false, 0)
			w.expectStale(1)
			text := w.log.text()
			if len(*w.log) != 1 || !strings.Contains(text, c.says) || !strings.Contains(text, "--allow-clients-file") || !strings.Contains(text, w.file) {
				t.Errorf("the log says %s", text)
			}
			// At the start it is an error.
			err := New(logr.Discard(), Options{File: w.file}, nil, nil).Load()
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "--allow-clients-file") {
				t.Errorf("load gives %v", err)
			}
			// And when it is good again, that counts.
			_ = os.Remove(w.file)
			w.write(batClient)
			w.look()
			w.expectStale(1)
			w.look()
			w.expect(false, true, 1)
			w.expectStale(0)
			if n := strings.Count(w.log.text(), "can be used again"); n != 1 {
				t.Errorf("the log says %d times that the file can be used: %s", n, w.log.text())
			}
			w.look()
			w.expectStale(0)
		})
	}
}

func TestAListIsNotMadeOfWhatIsNoIdentity(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "clients")
	if err := os.WriteFile(file, []byte(webClient), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		o    Options
	}{
		{"of flags", Options{Clients: []string{"web..shop"}}},
		{"of flags beside a file", Options{Clients: []string{"web..shop"}, File: file}},
		{"of a comment among flags", Options{Clients: []string{"# " + batClient}, File: file}},
		{"of two in one flag beside a file", Options{Clients: []string{batClient + " " + webClient}, File: file}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := New(logr.Discard(), c.o, nil, nil).Load()
			if err == nil || !strings.Contains(err.Error(), "--allow-clients: ") {
				t.Errorf("load gives %v", err)
			}
		})
	}
}

// An empty file is a list of nobody, as is an empty list, and no list is everybody, which the log says.
func TestOnlyNoListAtAllIsEverybody(t *testing.T) {
	t.Parallel()
	watch(t, "").expect(false, false, 0)
	for _, c := range []struct {
		name string
		o    Options
		open bool
		told int
	}{
		{"no list", Options{}, true, 1},
		{"a list without entries", Options{Clients: []string{}}, false, 0},
		{"a list of all", Options{Clients: []string{"*"}}, true, 0},
		{"a list", Options{Clients: []string{batClient}}, false, 0},
	} {
		var log lines
		p := New(log.logger(), c.o, nil, nil)
		if p.Allows(webClient) {
			t.Errorf("%s: it allows somebody before it is loaded", c.name)
		}
		if err := p.Load(); err != nil || p.Allows(webClient) != c.open || strings.Count(log.text(), "--allow-clients-file") != c.told {
			t.Errorf("%s: %v, %v, and the log says %q", c.name, p.Allows(webClient), err, log.text())
		}
	}
}
