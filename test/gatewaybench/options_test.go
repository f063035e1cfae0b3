package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestOptions(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string // part of the error, none when empty
	}{
		"nothing":          {},
		"sections":         {args: []string{"-only", "connections,upload"}},
		"unknown section":  {args: []string{"-only", "speed"}, want: `no section "speed"`},
		"no number":        {args: []string{"-idle", "10,many"}, want: `-idle: "many"`},
		"too many idle":    {args: []string{"-idle", "100000"}, want: "from 1 to 20000"},
		"too short":        {args: []string{"-seconds", "0.01"}, want: "give 0.1 to 600"},
		"no rounds":        {args: []string{"-rounds", "0"}, want: "at least 1"},
		"unknown output":   {args: []string{"-o", "csv"}, want: "give table or json"},
		"a stray argument": {args: []string{"bytes"}, want: `unexpected argument "bytes"`},
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
		t.Setenv("SECONDS", "1")
		t.Setenv("ROUNDS", "2")
		o, err := parseOptions([]string{"-rounds", "5"}, &bytes.Buffer{})
		if err != nil || o.window != time.Second || o.rounds != 5 {
			t.Errorf("window %v, rounds %d, error %v, want 1s from the environment and 5 from the flag", o.window, o.rounds, err)
		}
	})
	t.Run("uploads are measured when asked for only", func(t *testing.T) {
		if (options{}).wants(sectionUpload) || !(options{}).wants(sectionBytes) || !(options{only: []string{sectionUpload}}).wants(sectionUpload) {
			t.Error("wants is wrong")
		}
	})
}

// The comparison is worth something only if HAProxy does the same work: mutual TLS 1.3, the name verified.
func TestHAProxyDoesTheSameWork(t *testing.T) {
	t.Parallel()
	w := &world{ingress: files{"/in"}, egress: files{"/out"}}
	egress, ingress := w.haproxyEnds(1000)
	for what, c := range map[string]struct {
		config string
		want   []string
	}{
		"egress": {egress.config(), []string{
			"bind 203.0.113.11:20000\n", "server there 203.0.113.12:4143 ssl ", "ssl-min-ver TLSv1.3", "verify required",
			"crt /out/bundle.pem", "ca-file /out/ca.crt", "sni str(" + identityOfIngress + ")", "verifyhost " + identityOfIngress,
		}},
		"ingress": {ingress.config(), []string{
			"bind 203.0.113.12:4143 ssl ", "ssl-min-ver TLSv1.3", "verify required", "crt /in/bundle.pem", "ca-file /in/ca.crt",
			"server there " + backendAddress() + "\n",
		}},
	} {
		for _, want := range append(c.want, "maxconn 1000", "mode tcp") {
			if !strings.Contains(c.config, want) {
				t.Errorf("%s: %q is not in\n%s", what, want, c.config)
			}
		}
	}
}
