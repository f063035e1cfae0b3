package ingress

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
)

// watched is a policy whose looks are the test's.
type watched struct {
	*policy
	*testing.T
	file    string
	log     *lines
	changes int
}

func watch(t *testing.T, text string, entries ...string) *watched {
	t.Helper()
	w := &watched{T: t, file: filepath.Join(t.TempDir(), "clients"), log: &lines{}}
	w.write(text)
	w.policy = newPolicy(w.log.logger(0), Options{AllowClients: entries, AllowFile: w.file}, func() { w.changes++ })
	if err := w.load(); err != nil {
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
	if w.allows(webClient) != web || w.allows(batClient) != bat {
		w.Errorf("allows web: %v, bat: %v; want %v, %v", w.allows(webClient), w.allows(batClient), web, bat)
	}
	if w.changes != changes {
		w.Errorf("%d changes were told, want %d", w.changes, changes)
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
	if n := w.log.count(); n != 3 {
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
		{"is too long", "more than 10485760 bytes", func(w *watched) { w.write(strings.Repeat("#", maxAllowFile+1)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := watch(t, webClient)
			c.spoil(w)
			for range 5 {
				w.look()
			}
			w.expect(true, false, 0)
			text := w.log.text()
			if w.log.count() != 1 || !strings.Contains(text, c.says) || !strings.Contains(text, "--allow-clients-file") || !strings.Contains(text, w.file) {
				t.Errorf("the log says %s", text)
			}
			// At the start it is an error.
			err := newPolicy(logr.Discard(), Options{AllowFile: w.file}, nil).load()
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "--allow-clients-file") {
				t.Errorf("load gives %v", err)
			}
			// And when it is good again, that counts.
			_ = os.Remove(w.file)
			w.write(batClient)
			w.look()
			w.look()
			w.expect(false, true, 1)
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
		{"of flags", Options{AllowClients: []string{"web..shop"}}},
		{"of flags beside a file", Options{AllowClients: []string{"web..shop"}, AllowFile: file}},
		{"of a comment among flags", Options{AllowClients: []string{"# " + batClient}, AllowFile: file}},
		{"of two in one flag beside a file", Options{AllowClients: []string{batClient + " " + webClient}, AllowFile: file}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := newPolicy(logr.Discard(), c.o, nil).load()
			if err == nil || !strings.Contains(err.Error(), "--allow-clients: ") {
				t.Errorf("load gives %v", err)
			}
		})
	}
}

// An empty file is a list of nobody, and no list is everybody.
func TestAnEmptyFileAllowsNobody(t *testing.T) {
	t.Parallel()
	watch(t, "").expect(false, false, 0)
	none := newPolicy(logr.Discard(), Options{}, nil)
	if err := none.load(); err != nil || !none.allows(webClient) {
		t.Errorf("without a list: %v, %v", none.allows(webClient), err)
	}
}
