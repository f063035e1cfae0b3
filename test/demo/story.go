package main

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/linkspan/linkspan/test/rig"
)

// errInterrupted means that somebody stopped the story before its end.
var errInterrupted = errors.New("interrupted")

// step is one sentence of the story and what makes it true. The sentence says what happens and why;
// play shows the commands, checks the outcome and shows that.
type step struct {
	title string
	play  func(*stage, context.Context) error
}

func story() []step {
	return []step{
		{"Start two clusters, west and east: real API servers that know nothing of each other.", (*stage).startClusters},
		{"Run a shop in east: two Services with two pods each, none of them exported.", (*stage).startShop},
		{"Let other clusters look: an account in east that reads Services and their endpoints, no more.", (*stage).allow},
		{"Open the gateway of east: who has a certificate gets to what is exported there, over mutual TLS.", (*stage).openGateway},
		{"Link west to east: the command reads east, tries the new credentials, and prints what west needs.", (*stage).link},
		{"Start the egress in west: it takes the clients of mirrors to the gateways of other clusters.", (*stage).startEgress},
		{"Start the controller in west: it finds the Link, connects to east and probes the gateway.", (*stage).startController},
		{"Export web through the gateway: a label in east is all it takes to get a mirror in west.", (*stage).exportWeb},
		{"Ask who called: the client knows nothing of TLS, and east knows all the same whose egress it was.", (*stage).whoCalled},
		{"Export cart pod to pod: the mirror's endpoints are the pods themselves, without a gateway.", (*stage).exportCart},
		{"Ask how the link is doing: its columns answer, and so does a command.", (*stage).lookAtLink},
		{"Take the gateway down: what goes through it must stop being used, what does not must not care.", (*stage).gatewayDown},
		{"Bring the gateway back: the mirror is used again, and is the same Service at the same ClusterIP.", (*stage).gatewayUp},
		{"Stop exporting web: its mirror goes, with the connections that are open, and only that.", (*stage).unexportWeb},
	}
}

// perform plays the story and always cleans up. What went wrong has been told when it returns.
func perform(ctx context.Context, tell *teller, options stageOptions) error {
	playing, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	s, err := newStage(tell, options, lost)
	if err != nil {
		tell.failed(err)
		return err
	}
	err = s.play(playing)
	if err == nil && !options.exit {
		s.invite()
		<-playing.Done()
		if ctx.Err() == nil {
			err = context.Cause(playing)
		}
	}
	stopped := ctx.Err() != nil
	switch {
	case stopped && err != nil:
		err = errInterrupted
	case err != nil:
		s.explain(playing, err)
	}
	if stopped {
		tell.gap()
		tell.say("Stopping.")
	}
	if closing := s.close(); closing != nil {
		tell.failed(closing)
		return errors.Join(err, closing)
	}
	if stopped {
		tell.say("Stopped: all processes have ended.")
	}
	return err
}

func (s *stage) play(ctx context.Context) error {
	began := time.Now()
	s.tell.headline("Linkspan demo: a link lets west use the services that east exports.")
	steps := story()
	for i, step := range steps {
		s.tell.title(i+1, step.title)
		if err := step.play(s, ctx); err != nil {
			return err
		}
	}
	s.tell.gap()
	s.tell.headline("All %d steps went as told, in %.1f s.", len(steps), time.Since(began).Seconds())
	return nil
}

// explain tells what went wrong. A lost process is the cause, and what the step noticed the effect.
func (s *stage) explain(playing context.Context, err error) {
	if cause := context.Cause(playing); cause != nil {
		err = cause
	}
	s.tell.failed(err)
	for _, b := range s.processes() {
		s.tell.say("The log of " + b.name + " ends with:")
		s.tell.output(b.tail())
	}
}

// invite says what there is to play with, and opens a way to web's mirror, which gets its old port of the
// egress when web is exported again.
func (s *stage) invite() {
	kubectl := programKubectl
	if _, err := exec.LookPath(kubectl); err != nil {
		kubectl = s.shell.programs[programKubectl]
	}
	s.atEnd(rig.ServeProxy(s.options.listeners[listenWeb], s.web.endpoints[0].address).Close)
	s.tell.gap()
	s.tell.headline("Both clusters stay up until Ctrl-C.")
	s.tell.table([][]string{
		{"kubeconfig of west", s.kubeconfig(s.west)},
		{"kubeconfig of east", s.kubeconfig(s.east)},
		{"logs", filepath.Join(s.dir, "*.log")},
	})
	s.tell.say("In another terminal, try:")
	for _, line := range []string{
		"demo=" + s.dir,
		"export KUBECONFIG=$demo/" + kubeconfigName(s.west) + ":$demo/" + kubeconfigName(s.east),
		kubectl + " --context=west get links,services,endpointslices -A",
		kubectl + " --context=east -n shop label service web mirror.linkerd.io/exported=true",
		"curl http://" + s.hostAddress(listenWeb) + "/    # what a client of web-east gets",
		"tail -n 1 $demo/" + ingressAccessLog,
		kubectl + " --context=west -n shop delete service cart-east    # it comes back at once",
		kubectl + " --context=west -n " + linksNamespace + " describe link east",
		"bin/mirror --context=west gateways -o wide --metrics-url=" + metricsURL(s.hostAddress(listenAdmin)),
	} {
		s.tell.command(line)
	}
}
