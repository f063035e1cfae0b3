package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

func (s *stage) startClusters(ctx context.Context) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	rows := [][]string{{"CLUSTER", "API SERVER", "KUBERNETES", "SERVICE RANGE"}}
	for _, c := range []*rig.Cluster{s.west, s.east} {
		version, err := versionOf(c)
		if err != nil {
			return err
		}
		ranges := map[*rig.Cluster]string{s.west: westServices, s.east: eastServices}
		rows = append(rows, []string{c.Name(), c.URL(), version, ranges[c]})
	}
	s.tell.table(rows)
	return nil
}

func versionOf(c *rig.Cluster) (string, error) {
	config, err := c.RESTConfig(c.Admin())
	if err != nil {
		return "", err
	}
	asker, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return "", fmt.Errorf("make a client of %s: %w", c.Name(), err)
	}
	version, err := asker.ServerVersion()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", c.Name(), err)
	}
	return version.GitVersion, nil
}

func (s *stage) startShop(ctx context.Context) error {
	if err := s.runShop(ctx); err != nil {
		return err
	}
	rows := [][]string{{"SERVICE", "CLUSTER-IP", "ENDPOINT", "READY", "ANSWER"}}
	for _, w := range []workload{web(), cart()} {
		service, err := s.awaitWorkload(ctx, w)
		if err != nil {
			return err
		}
		name, clusterIP := w.service, service.Spec.ClusterIP
		for _, p := range w.pods {
			answer := ask(ctx, p.address())
			if answer != p.answer() {
				return fmt.Errorf("%s answers %q, expected %q", p.address(), answer, p.answer())
			}
			rows = append(rows, []string{name, clusterIP, p.address(), yesNo(true), answer})
			name, clusterIP = "", ""
		}
	}
	s.tell.table(rows)
	s.tell.say("No node runs here: HTTP servers stand in for the pods. Both control planes are real.")
	return nil
}

// awaitWorkload waits until east's own controller has found the pods.
func (s *stage) awaitWorkload(ctx context.Context, w workload) (*corev1.Service, error) {
	_, err := rig.Await(ctx, s.east, &discoveryv1.EndpointSlice{}, rig.SlicesOf(shop, w.service), func(objects []client.Object) error {
		got, err := endpointsOf(objects)
		if err != nil {
			return err
		}
		if want := toPods(w); !slices.EqualFunc(got, want, sameEndpoint) {
			return fmt.Errorf("the endpoints of %s in east are %v, expected %v", w.service, describe(got), describe(want))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	service := &corev1.Service{}
	if err := s.east.Client().Get(ctx, client.ObjectKey{Namespace: shop, Name: w.service}, service); err != nil {
		return nil, fmt.Errorf("expected Service %s/%s in east: %w", shop, w.service, err)
	}
	return service, nil
}

func (s *stage) startGateway(ctx context.Context) error {
	if _, err := s.shell.run(ctx, "kubectl --context=east create namespace "+linksNamespace); err != nil {
		return err
	}
	made, err := newGateway()
	if err != nil {
		return err
	}
	s.gateway = made
	s.atEnd(made.close)
	if err := s.createGateway(ctx); err != nil {
		return err
	}
	if _, err = s.shell.run(ctx, "kubectl --context=east -n "+linksNamespace+" get service linkerd-gateway"); err != nil {
		return err
	}
	s.tell.say("A stand-in too: it passes every connection on to pod web-1.")
	return nil
}

func (s *stage) allow(ctx context.Context) error {
	if _, err := s.shell.run(ctx, "mirror allow | kubectl --context=east apply -f -"); err != nil {
		return err
	}
	if err := errors.Join(s.awaitToken(ctx), s.checkAccount(ctx)); err != nil {
		return err
	}
	s.tell.ok("The account has a token; it may list Services, and may not read Secrets, list pods or write.")
	return nil
}

func (s *stage) link(ctx context.Context) error {
	if _, err := s.shell.run(ctx, "kubectl --context=west create namespace "+linksNamespace); err != nil {
		return err
	}
	_, err := s.shell.run(ctx, "mirror --context=east link --cluster-name=east | kubectl --context=west apply -f -")
	return err
}

func (s *stage) startController(ctx context.Context) error {
	started, err := s.shell.start("mirror --context=west controller", filepath.Join(s.dir, "controller.log"), s.lost)
	if err != nil {
		return err
	}
	s.controller = started
	s.atEnd(started.stop)
	return s.showLink(ctx, healthy("0"))
}

func (s *stage) exportWeb(ctx context.Context) error {
	if _, err := s.shell.run(ctx, "kubectl --context=west create namespace "+shop); err != nil {
		return err
	}
	exported, took, err := s.export(ctx, web(), v1alpha3.ExportedGateway, throughGateway(true))
	if err != nil {
		return err
	}
	s.web = exported
	if err := s.showMirrors(ctx, exported); err != nil {
		return err
	}
	s.tell.ok("The mirror was ready %s after the label, and a request to its endpoint reaches web.", milliseconds(took))
	return nil
}

func (s *stage) exportCart(ctx context.Context) error {
	exported, took, err := s.export(ctx, cart(), v1alpha3.ExportedRemoteDiscovery, toPods(cart()))
	if err != nil {
		return err
	}
	s.cart = exported
	if err := s.showMirrors(ctx, exported); err != nil {
		return err
	}
	s.tell.ok("The mirror was ready %s after the label, and requests to its endpoints reach both pods.", milliseconds(took))
	return nil
}

// export sets the label and waits for the mirror. The time is from when the label could be seen in
// east until the mirror's endpoints could be seen in west, both by a watch, so that the time of the
// command is not in it.
func (s *stage) export(ctx context.Context, w workload, mode string, want []endpoint) (*mirror, time.Duration, error) {
	var made *mirror
	took, err := s.measure(ctx, w.service, mode,
		func(ctx context.Context) error {
			_, err := s.shell.run(ctx, fmt.Sprintf("kubectl --context=east -n %s label service %s %s=%s", shop, w.service, v1alpha3.LabelExported, mode))
			return err
		},
		func(ctx context.Context) (seen time.Time, err error) {
			if made, err = s.awaitMirror(ctx, mirrorName(w), want); err != nil {
				return seen, err
			}
			return made.seen, nil
		})
	return made, took, err
}

func mirrorName(w workload) string { return w.service + "-" + nameEast }

// measure acts on a Service of east, and times from when its export label has the given value until
// what await waits for.
func (s *stage) measure(ctx context.Context, service, mode string, act func(context.Context) error, await func(context.Context) (time.Time, error)) (time.Duration, error) {
	var labelled, seen time.Time
	err := all(ctx, act,
		func(ctx context.Context) error {
			_, err := rig.Await(ctx, s.east, &corev1.Service{}, rig.In(shop).And(rig.Named(service)), func(objects []client.Object) error {
				if len(objects) != 1 || objects[0].GetLabels()[v1alpha3.LabelExported] != mode {
					return fmt.Errorf("expected %s in east with %s=%q", service, v1alpha3.LabelExported, mode)
				}
				return nil
			})
			labelled = time.Now()
			return err
		},
		func(ctx context.Context) (err error) {
			seen, err = await(ctx)
			return err
		})
	// The two watches are served side by side: what is fast enough may be seen first.
	return max(0, seen.Sub(labelled)), err
}

func (s *stage) lookAtLink(ctx context.Context) error {
	if err := s.showLink(ctx, healthy("2")); err != nil {
		return err
	}
	return s.showGateways(ctx, metav1.ConditionTrue, "2")
}

func (s *stage) gatewayDown(ctx context.Context) error {
	began := time.Now()
	if err := s.gateway.down(); err != nil {
		return err
	}
	down, err := s.awaitMirror(ctx, mirrorName(web()), throughGateway(false))
	if err != nil {
		return err
	}
	kept, err := s.awaitMirror(ctx, mirrorName(cart()), toPods(cart()))
	if err != nil {
		return err
	}
	if err := s.showMirrors(ctx, down, kept); err != nil {
		return err
	}
	if err := errors.Join(down.same(s.web), kept.untouched(s.cart)); err != nil {
		return err
	}
	s.tell.ok("web-east was not ready %.1f s after the gateway went down: two probes, one a second.", down.seen.Sub(began).Seconds())
	s.tell.ok("cart-east stayed ready; nothing of it was touched.")
	return s.lookAtDeadGateway(ctx)
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
	began := time.Now()
	if err := s.gateway.up(); err != nil {
		return err
	}
	back, err := s.awaitMirror(ctx, mirrorName(web()), throughGateway(true))
	if err != nil {
		return err
	}
	if err := s.showMirrors(ctx, back); err != nil {
		return err
	}
	if err := back.same(s.web); err != nil {
		return err
	}
	s.tell.ok("web-east was ready %.1f s after the gateway answered again.", back.seen.Sub(began).Seconds())
	return s.showLink(ctx, healthy("2"))
}

func (s *stage) unexportWeb(ctx context.Context) error {
	took, err := s.measure(ctx, web().service, "",
		func(ctx context.Context) error {
			_, err := s.shell.run(ctx, fmt.Sprintf("kubectl --context=east -n %s label service %s %s-", shop, web().service, v1alpha3.LabelExported))
			return err
		},
		func(ctx context.Context) (time.Time, error) { return s.awaitGone(ctx, mirrorName(web())) })
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
	s.tell.ok("web-east was gone %s after the label; nothing of cart-east was touched.", milliseconds(took))
	return s.showLink(ctx, healthy("1"))
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

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%d ms", (d + time.Millisecond/2).Milliseconds())
}
