package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/linkspan/linkspan/test/rig"
)

func TestVerdict(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		row  row
		want string
	}{
		"no goal":       {row: row{Number: 3}, want: ""},
		"met exactly":   {row: row{Number: 2, Limit: new(2.0)}, want: "met"},
		"missed":        {row: row{Number: 75, Unit: milliseconds, Limit: new(50.0)}, want: "missed by 25.0 ms (1.50x)"},
		"none allowed":  {row: row{Number: 7, Limit: new(0.0)}, want: "missed by 7"},
		"none happened": {row: row{Number: 0, Limit: new(0.0)}, want: "met"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := c.row.verdict(); got != c.want {
				t.Errorf("verdict is %q, want %q", got, c.want)
			}
		})
	}
}

// Leases and watches come by the clock: they must not count as requests for a mirror, nor be lost.
func TestSortRequests(t *testing.T) {
	t.Parallel()
	got := sortRequests([]rig.Request{
		{Verb: "patch", Resource: "services", Code: 201},
		{Verb: "patch", Group: "discovery.k8s.io", Resource: "endpointslices", Code: 201},
		{Verb: "patch", Group: "multicluster.linkerd.io", Resource: "links", Subresource: "status", Code: 200},
		{Verb: "update", Group: "coordination.k8s.io", Resource: "leases", Code: 200},
		{Verb: "watch", Resource: "services", Code: 200},
		{Verb: "get", Resource: "namespaces", Code: 403},
	})
	want := requests{mirrorWrites: 2, otherWrites: 1, reads: 1, watches: 1, leases: 1, kinds: map[string]int{
		"patch services": 1, "patch endpointslices.discovery.k8s.io": 1, "patch links.multicluster.linkerd.io/status": 1,
		"update leases.coordination.k8s.io": 1, "watch services": 1, "get namespaces -> 403": 1,
	}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(requests{})); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if got.all() != 4 {
		t.Errorf("all is %d, want 4: no watch and no lease", got.all())
	}
}

func TestOptions(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string // part of the error, none when empty
	}{
		"nothing":         {},
		"a section":       {args: []string{"-only", "cold,memory"}},
		"unknown section": {args: []string{"-only", "warm"}, want: `no section "warm"`},
		"no number":       {args: []string{"-unexported", "0,many"}, want: `-unexported: "many"`},
		"too few":         {args: []string{"-services", "1"}, want: "-services is 1: give 20"},
		"unknown output":  {args: []string{"-o", "csv"}, want: "give table or json"},
		"stray argument":  {args: []string{"cold"}, want: `unexpected argument "cold"`},
	} {
		t.Run(name, func(t *testing.T) {
			var usage bytes.Buffer
			_, err := parseOptions(c.args, &usage)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
		})
	}
	t.Run("the environment is the default of a flag", func(t *testing.T) {
		t.Setenv("SERVICES", "300")
		t.Setenv("SAMPLES", "10")
		o, err := parseOptions([]string{"-samples", "20"}, &bytes.Buffer{})
		if err != nil || o.services != 300 || o.samples != 20 {
			t.Errorf("services %d, samples %d, error %v, want 300 from the environment and 20 from the flag", o.services, o.samples, err)
		}
	})
}
