package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestFlags(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string // part of the error, nothing for none
	}{
		"none":                     {nil, ""},
		"one platform":             {[]string{"-platforms", "linux/arm64"}, ""},
		"another system":           {[]string{"-platforms", "linux/amd64,windows/amd64"}, `-platforms: "windows/amd64"`},
		"no architecture":          {[]string{"-platforms", "linux"}, `-platforms: "linux"`},
		"no time":                  {[]string{"-created", "yesterday"}, `-created is "yesterday"`},
		"an argument":              {[]string{"mirror"}, `unexpected argument "mirror"`},
		"a flag that is none":      {[]string{"-push"}, "-push"},
		"a time before this year":  {[]string{"-created", "0"}, ""},
		"an architecture of later": {[]string{"-platforms", "linux/riscv64"}, ""},
	} {
		_, err := parse(c.args, io.Discard)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// What nobody says is asked of git, and what somebody says is not.
func TestTheSourceIsAskedOfGit(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "")
	o, err := parse(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.complete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(o.source.Revision) != 40 || o.source.Created.Year() < 2026 {
		t.Errorf("git says %+v", o.source)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	if o, err = parse([]string{"-revision", "abc"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", "")
	if err := o.complete(t.Context()); err != nil || o.source.Revision != "abc" || !o.source.Created.Equal(time.Unix(1700000000, 0)) {
		t.Errorf("what was said is not what is taken: %+v, %v", o.source, err)
	}
	if o, err = parse(nil, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := o.complete(t.Context()); err == nil || !strings.Contains(err.Error(), "-revision") {
		t.Errorf("without git the error is %v", err)
	}
}
