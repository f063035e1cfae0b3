package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/linkspan/linkspan/test/figures"
)

const (
	haproxyEgress  = "203.0.113.11"
	haproxyIngress = "203.0.113.12"
	haproxyPort    = 20000
)

// findHAProxy looks for the program, and says what to do where there is none.
func findHAProxy(p *figures.Progress) (program, version string) {
	program, err := exec.LookPath("haproxy")
	if err != nil {
		p.Say("haproxy: not installed, skipped (Debian: apt-get install haproxy)")
		return "", ""
	}
	out, err := exec.Command(program, "-v").Output()
	if err != nil {
		p.Say("haproxy: %s does not run, skipped: %v", program, err)
		return "", ""
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return program, strings.TrimSpace(strings.TrimSuffix(first, "- https://haproxy.org/"))
}

// haproxyEnd is one of the two processes.
type haproxyEnd struct {
	threads, maxconn int
	// bind is what follows the word in the configuration, server too.
	bind, server string
}

// config is all that a user would write for this job, and nothing that makes it faster or slower. Sessions
// are resumed, as is the default.
func (e haproxyEnd) config() string {
	return fmt.Sprintf(`global
    nbthread %d
    maxconn %d

defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h

frontend in
    bind %s
    default_backend out

backend out
    server there %s
`, e.threads, e.maxconn, e.bind, e.server)
}

// haproxyMost is how many connections a process may have: two files for each, and some for itself.
func haproxyMost(files int) int { return min(2*maxIdle, (files-500)/2) }

func (w *world) haproxyEnds(maxconn int) (egress, ingress haproxyEnd) {
	threads := runtime.GOMAXPROCS(0)
	egress = haproxyEnd{threads: threads, maxconn: maxconn, bind: join(haproxyEgress, haproxyPort), server: fmt.Sprintf(
		"%s ssl ssl-min-ver TLSv1.3 crt %s ca-file %s verify required sni str(%s) verifyhost %s",
		join(haproxyIngress, ingressPort), w.egress.bundle(), w.egress.anchors(), identityOfIngress, identityOfIngress)}
	ingress = haproxyEnd{
		threads: threads, maxconn: maxconn, server: backendAddress(),
		bind: fmt.Sprintf("%s ssl ssl-min-ver TLSv1.3 crt %s ca-file %s verify required",
			join(haproxyIngress, ingressPort), w.ingress.bundle(), w.ingress.anchors()),
	}
	return egress, ingress
}

func (b *bench) startHAProxy(ctx context.Context, name string) (*path, error) {
	egress, ingress := b.world.haproxyEnds(haproxyMost(b.files))
	p := &path{way: haproxy, address: join(haproxyEgress, haproxyPort)}
	var err error
	if p.ingress, err = b.startHAProxyEnd(ctx, name+"-ingress", ingress); err != nil {
		return nil, err
	}
	if p.egress, err = b.startHAProxyEnd(ctx, name+"-egress", egress); err != nil {
		return nil, errors.Join(err, p.ingress.stop())
	}
	return p, nil
}

func (b *bench) startHAProxyEnd(ctx context.Context, name string, e haproxyEnd) (*process, error) {
	file := b.world.file(name + ".cfg")
	if err := os.WriteFile(file, []byte(e.config()), 0o600); err != nil {
		return nil, fmt.Errorf("configuring HAProxy: %w", err)
	}
	return start(ctx, command{name: name, program: b.haproxy, args: []string{"-db", "-f", file}, log: b.world.file(name + ".log")})
}
