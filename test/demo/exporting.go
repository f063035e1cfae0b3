package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

func (s *stage) exportWeb(ctx context.Context) error {
	if _, err := s.shell.run(ctx, "kubectl --context=west create namespace "+shop); err != nil {
		return err
	}
	exported, labelled, err := s.export(ctx, web(), v1alpha3.ExportedGateway, throughGateway(true))
	if err != nil {
		return err
	}
	answered, err := exported.awaitAnswers(ctx)
	if err != nil {
		return err
	}
	s.web = exported
	if err := s.showMirrors(ctx, exported); err != nil {
		return err
	}
	port, err := exported.egressPort()
	if err != nil {
		return err
	}
	s.tell.ok("The mirror was ready %s after the label, and a request had its answer from web after %s.",
		since(labelled, exported.seen), since(labelled, answered))
	s.tell.ok("West has no Linkerd, so the mirror leads to the egress, where port %s means web-east:80.", port)
	return nil
}

// whoCalled sends a request and reads in the access logs of both halves of the gateway what became of it.
func (s *stage) whoCalled(ctx context.Context) error {
	began := time.Now()
	to := s.web.endpoints[0]
	answer := ask(ctx, to.address)
	if answer != to.answer {
		return fmt.Errorf("%s answers %q, expected %q", to.address, answer, to.answer)
	}
	s.tell.say("A client asked " + to.address + " over plain HTTP, and the answer was: " + answer + ".")
	for _, half := range []struct{ who, log, want string }{
		{"egress, in west,", egressAccessLog, shop + "/" + mirrorName(web())},
		{"ingress, in east,", ingressAccessLog, shop + "/" + web().service},
	} {
		target := joinPort(half.want, servicePort)
		line, err := s.awaitEntry(ctx, half.log, began, func(e entry) bool { return e.Target == target })
		if err != nil {
			return err
		}
		if line.Via != "lane" || line.Result != "done" {
			return fmt.Errorf("the log of the %s says %+v, expected a lane, and that it is done", half.who, line)
		}
		if half.log == ingressAccessLog && line.Client != egressIdentity {
			return fmt.Errorf("the ingress saw %q as the client, expected %q", line.Client, egressIdentity)
		}
		s.tell.say("The access log of the " + half.who + " has:")
		s.tell.table(line.rows())
	}
	s.tell.ok("The ingress knew its client by the certificate. A lane is a TLS connection that is kept.")
	return nil
}

func (s *stage) exportCart(ctx context.Context) error {
	exported, labelled, err := s.export(ctx, cart(), v1alpha3.ExportedRemoteDiscovery, toPods(cart()))
	if err != nil {
		return err
	}
	s.cart = exported
	if err := s.showMirrors(ctx, exported); err != nil {
		return err
	}
	s.tell.ok("The mirror was ready %s after the label, and requests to its endpoints reach both pods.", since(labelled, exported.seen))
	return nil
}

// export sets the label and waits for the mirror. The times are when the label could be seen in east and
// when the mirror's endpoints could be seen in west, both by a watch, so that the time of the command is
// not in between.
func (s *stage) export(ctx context.Context, w workload, mode string, want []endpoint) (made *mirror, labelled time.Time, err error) {
	labelled, err = s.label(ctx, w.service, mode, func(ctx context.Context) (err error) {
		made, err = s.awaitMirror(ctx, mirrorName(w), want)
		return err
	})
	return made, labelled, err
}

func mirrorName(w workload) string { return w.service + "-" + nameEast }

// label sets the export label of a Service of east, or removes it, and waits for what follows. The time is
// when the label could be seen.
func (s *stage) label(ctx context.Context, service, mode string, follows ...func(context.Context) error) (time.Time, error) {
	change := v1alpha3.LabelExported + "=" + mode
	if mode == "" {
		change = v1alpha3.LabelExported + "-"
	}
	var labelled time.Time
	err := all(ctx, append(follows,
		func(ctx context.Context) error {
			_, err := s.shell.run(ctx, fmt.Sprintf("kubectl --context=east -n %s label service %s %s", shop, service, change))
			return err
		},
		func(ctx context.Context) error {
			_, err := rig.Await(ctx, s.east, &corev1.Service{}, rig.In(shop).And(rig.Named(service)), func(objects []client.Object) error {
				if len(objects) != 1 || objects[0].GetLabels()[v1alpha3.LabelExported] != mode {
					return fmt.Errorf("expected %s in east with %s=%q", service, v1alpha3.LabelExported, mode)
				}
				return nil
			})
			labelled = time.Now()
			return err
		})...)
	return labelled, err
}

func (s *stage) unexportWeb(ctx context.Context) error {
	open, err := newCall(ctx, s.web.endpoints[0].address, s.web.endpoints[0].answer)
	if err != nil {
		return err
	}
	defer open.conn.Close()
	var gone, cut time.Time
	labelled, err := s.label(ctx, web().service, "",
		func(ctx context.Context) (err error) {
			gone, err = s.awaitGone(ctx, mirrorName(web()))
			return err
		},
		func(ctx context.Context) (err error) {
			cut, err = open.awaitCut(ctx)
			return err
		})
	if err != nil {
		return err
	}
	kept, err := s.awaitMirror(ctx, mirrorName(cart()), toPods(cart()))
	if err != nil {
		return err
	}
	if err := errors.Join(s.showMirrors(ctx, kept), kept.untouched(s.cart)); err != nil {
		return err
	}
	s.tell.ok("web-east was gone %s after the label; nothing of cart-east was touched.", since(labelled, gone))
	s.tell.ok("A connection that was open was reset %s after the label.", since(labelled, cut))
	if err := s.lookAtClosedDoors(ctx); err != nil {
		return err
	}
	return s.showLink(ctx, healthy("1"))
}

// lookAtClosedDoors checks that there is no way to web any more, at both halves of the gateway.
func (s *stage) lookAtClosedDoors(ctx context.Context) error {
	closed := *s.web
	closed.endpoints = []endpoint{{address: s.web.endpoints[0].address, answer: refused}}
	if _, err := closed.awaitAnswers(ctx); err != nil {
		return err
	}
	s.tell.ok("Its port of the egress is closed: %s.", refused)
	began := time.Now()
	if err := s.askFor(ctx, web().service); err != nil {
		return err
	}
	line, err := s.awaitEntry(ctx, ingressAccessLog, began, func(e entry) bool { return e.Target == joinPort(shop+"/"+web().service, servicePort) })
	if err != nil {
		return err
	}
	if line.Result != "refused" || line.Reason != "not_exported" {
		return fmt.Errorf("%s says %+v, expected a refusal because of not_exported", ingressAccessLog, line)
	}
	s.tell.ok("The ingress turns away who asks for web, even with the egress's certificate: %s.", line.Reason)
	return nil
}

// awaitGone waits until neither the Service nor any of its EndpointSlices is there.
func (s *stage) awaitGone(ctx context.Context, name string) (time.Time, error) {
	none := func(objects []client.Object) error {
		if len(objects) > 0 {
			return fmt.Errorf("%T %s is in west, expected it gone", objects[0], objects[0].GetName())
		}
		return nil
	}
	_, err := rig.Await(ctx, s.west, &corev1.Service{}, rig.In(shop).And(rig.Named(name)), none)
	if err != nil {
		return time.Time{}, err
	}
	seen := time.Now()
	_, err = rig.Await(ctx, s.west, &discoveryv1.EndpointSlice{}, rig.SlicesOf(shop, name), none)
	return seen, err
}

// since is how much later something was seen than something else. Two watches are served side by side:
// what is fast enough may be seen first.
func since(before, after time.Time) string { return milliseconds(max(0, after.Sub(before))) }

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%d ms", (d + time.Millisecond/2).Milliseconds())
}
