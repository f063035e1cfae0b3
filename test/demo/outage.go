package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (s *stage) gatewayDown(ctx context.Context) error {
	began := time.Now()
	var down *mirror
	err := all(ctx,
		func(context.Context) error { return s.stopIngress() },
		func(ctx context.Context) (err error) {
			down, err = s.awaitMirror(ctx, mirrorName(web()), throughGateway(false))
			return err
		})
	if err != nil {
		return err
	}
	kept, err := s.awaitMirror(ctx, mirrorName(cart()), toPods(cart()))
	if err != nil {
		return err
	}
	if err := s.lookAtDeadGateway(ctx); err != nil {
		return err
	}
	took, err := s.awaitReset(ctx)
	if err != nil {
		return err
	}
	if err := s.showMirrors(ctx, down, kept); err != nil {
		return err
	}
	if err := errors.Join(down.same(s.web), kept.untouched(s.cart)); err != nil {
		return err
	}
	s.tell.ok("web-east was not ready %.1f s after the signal: two probes, one a second.", down.seen.Sub(began).Seconds())
	s.tell.ok("Who connects all the same is turned away within %s: gateway_dead.", milliseconds(took.Truncate(time.Millisecond)+time.Millisecond))
	s.tell.ok("cart-east stayed ready; nothing of it was touched.")
	return nil
}

// awaitReset connects to web's mirror until the egress resets the connection because it knows that the
// gateway is dead. Before that connections fail as well, but only after the egress has tried. It says how
// long the last one took.
func (s *stage) awaitReset(ctx context.Context) (took time.Duration, err error) {
	err = soon(ctx, func(ctx context.Context) error {
		began := time.Now()
		if answer := ask(ctx, s.web.endpoints[0].address); answer != reset {
			return fmt.Errorf("web-east answers %q, expected %q", answer, reset)
		}
		took = time.Since(began)
		line, err := s.awaitEntry(ctx, egressAccessLog, began, func(entry) bool { return true })
		if err != nil {
			return err
		}
		if line.Result != "refused" || line.Reason != "gateway_dead" {
			return fmt.Errorf("%s says %+v, expected a refusal because of gateway_dead", egressAccessLog, line)
		}
		return nil
	})
	return took, err
}

func (s *stage) lookAtDeadGateway(ctx context.Context) error {
	if err := s.showLink(ctx, gatewayless("2")); err != nil {
		return err
	}
	if err := s.showGateways(ctx, metav1.ConditionFalse, "2"); err != nil {
		return err
	}
	l, err := s.awaitLink(ctx, gatewayless("2"))
	if err != nil {
		return err
	}
	why, err := whyDead(l)
	if err != nil {
		return err
	}
	s.tell.ok("The Link's status says why: %s", why)
	return nil
}

func (s *stage) gatewayUp(ctx context.Context) error {
	s.tell.say("The ingress is started as before.")
	if err := s.startIngress(ctx); err != nil {
		return err
	}
	began := time.Now()
	back, err := s.awaitMirror(ctx, mirrorName(web()), throughGateway(true))
	if err != nil {
		return err
	}
	answered, err := back.awaitAnswers(ctx)
	if err != nil {
		return err
	}
	if err := s.showMirrors(ctx, back); err != nil {
		return err
	}
	if err := back.same(s.web); err != nil {
		return err
	}
	s.tell.ok("web-east was ready %.1f s after the ingress, and answered after %.1f s.",
		max(0, back.seen.Sub(began).Seconds()), answered.Sub(began).Seconds())
	return s.showLink(ctx, healthy("2"))
}
