package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newTestShell has one program, gateway, which is a shell script.
func newTestShell(t *testing.T, script string) (*shell, *bytes.Buffer) {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("this machine has no program named sh")
	}
	dir, out := t.TempDir(), &bytes.Buffer{}
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return newShell(&teller{w: out}, dir, map[string]string{programGateway: program}), out
}

// A process that the story needs and that ends by itself is told of, also when it ends well.
func TestLostProcess(t *testing.T) {
	for name, test := range map[string]struct{ script, says string }{
		"it fails":     {"exit 3", "exit status 3"},
		"it ends well": {"exit 0", "exit status 0"},
	} {
		t.Run(name, func(t *testing.T) {
			shell, _ := newTestShell(t, test.script)
			lost := make(chan error, 1)
			started, err := shell.start("gateway ingress --listen=:1", output{log: "it.log"}, func(err error) { lost <- err })
			if err != nil {
				t.Fatal(err)
			}
			if err := <-lost; !strings.Contains(err.Error(), "gateway ingress: expected it to run on") || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want what was lost, and %q", err, test.says)
			}
			if err := started.stop(); err != nil {
				t.Errorf("it was told of twice: %v", err)
			}
		})
	}
}

// Results and log go to files of their own, and a second process adds to what the first one wrote.
func TestStartKeepsOutputs(t *testing.T) {
	shell, _ := newTestShell(t, "echo result; echo note >&2")
	for range 2 {
		lost := make(chan error, 1)
		started, err := shell.start("gateway ingress", output{out: "it.out", log: "it.log"}, func(err error) { lost <- err })
		if err != nil {
			t.Fatal(err)
		}
		if err := <-lost; err == nil {
			t.Error("it ended, and nobody was told")
		}
		if err := started.stop(); err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]string{"it.out": "result\nresult\n", "it.log": "note\nnote\n"} {
		if got, err := os.ReadFile(filepath.Join(shell.dir, file)); err != nil || string(got) != want {
			t.Errorf("%s: got %q and error %v, want %q", file, got, err, want)
		}
	}
}

// A long command is shown in lines that fit, and is the same command when it is copied.
func TestLongCommand(t *testing.T) {
	for size := range width / 2 {
		words := []string{"gateway", "ingress"}
		for range 9 {
			words = append(words, "--flag="+strings.Repeat("x", size))
		}
		var out bytes.Buffer
		(&teller{w: &out}).longCommand(strings.Join(words, " "))
		text := strings.TrimSuffix(out.String(), "\n")
		lines := strings.Split(text, "\n")
		for i, line := range lines {
			if len(line) > width || strings.HasSuffix(line, ` \`) != (i < len(lines)-1) {
				t.Errorf("line %d of %d is %q", i+1, len(lines), line)
			}
		}
		copied := strings.Fields(strings.TrimPrefix(strings.ReplaceAll(text, " \\\n", " "), indent+"$ "))
		if strings.Join(copied, " ") != strings.Join(words, " ") {
			t.Errorf("got %q, want %q", copied, words)
		}
	}
}

// The log of a gateway is read as far as it is written, and from a time on.
func TestReadEntries(t *testing.T) {
	const early, late = `{"timestamp":"2026-11-21T07:30:00.120000Z","target":"shop/web:80"}`, `{"timestamp":"2026-11-21T07:30:01.120000Z","target":"shop/cart:80","result":"done"}`
	since := time.Date(2026, 11, 21, 7, 30, 1, 120_000_900, time.UTC)
	for name, test := range map[string]struct {
		log   string
		want  []string
		fails bool
	}{
		"later lines only":                   {early + "\n" + late + "\n", []string{"shop/cart:80"}, false},
		"a line that is not whole yet waits": {early + "\n" + late, nil, false},
		"an empty log":                       {"", nil, false},
		"a line that is no JSON":             {"panic: oh\n", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "access.log")
			if err := os.WriteFile(path, []byte(test.log), 0o600); err != nil {
				t.Fatal(err)
			}
			entries, err := readEntries(path, since)
			var got []string
			for _, e := range entries {
				got = append(got, e.Target)
			}
			if strings.Join(got, " ") != strings.Join(test.want, " ") || (err != nil) != test.fails {
				t.Errorf("got %v and error %v, want %v and an error: %t", got, err, test.want, test.fails)
			}
		})
	}
	if _, err := readEntries(filepath.Join(t.TempDir(), "none"), since); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: got error %v, want that it does not exist", err)
	}
}

// A port that is not known beforehand stands for any, and an address never does.
func TestSameEndpoint(t *testing.T) {
	for name, test := range map[string]struct {
		got, want endpoint
		same      bool
	}{
		"any port":                 {endpoint{address: "203.0.113.41:20645", ready: true}, endpoint{address: "203.0.113.41:*", ready: true}, true},
		"the port":                 {endpoint{address: "203.0.113.41:80"}, endpoint{address: "203.0.113.41:80"}, true},
		"another port":             {endpoint{address: "203.0.113.41:81"}, endpoint{address: "203.0.113.41:80"}, false},
		"another address":          {endpoint{address: "203.0.113.4:20645"}, endpoint{address: "203.0.113.41:*"}, false},
		"ready when it should not": {endpoint{address: "203.0.113.41:20645", ready: true}, endpoint{address: "203.0.113.41:*"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := sameEndpoint(test.got, test.want); got != test.same {
				t.Errorf("got %t, want %t", got, test.same)
			}
		})
	}
}
