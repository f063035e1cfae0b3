package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/pkg/link"
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
		if answer := ask(ctx, joinPort(clusterIP, servicePort)); answer != w.pods[0].answer() {
			return fmt.Errorf("%s answers %q, expected %q", clusterIP, answer, w.pods[0].answer())
		}
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
	s.tell.say("No node runs here: HTTP servers stand in for the pods, and a proxy at each ClusterIP for kube-proxy. " +
		"Both control planes are real.")
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

func (s *stage) allow(ctx context.Context) error {
	if _, err := s.shell.run(ctx, "kubectl --context=east create namespace "+linksNamespace); err != nil {
		return err
	}
	if _, err := s.shell.run(ctx, "mirror allow | kubectl --context=east apply -f -"); err != nil {
		return err
	}
	if err := s.awaitToken(ctx); err != nil {
		return err
	}
	err := checkAccount(ctx, s.east, link.DefaultServiceAccount, right{services(), "list", "", true}, right{endpointSlices(), "watch", "", true})
	if err != nil {
		return err
	}
	s.tell.ok("The account has a token; it may list Services, and may not read Secrets, list pods or write.")
	return nil
}

func (s *stage) openGateway(ctx context.Context) error {
	if err := errors.Join(s.createGateway(ctx), s.letIngressRead(ctx), s.makeCertificates()); err != nil {
		return err
	}
	if _, err := s.shell.run(ctx, "kubectl --context=east -n "+linksNamespace+" get service linkerd-gateway"); err != nil {
		return err
	}
	s.tell.say("Certificates were made for both clusters, under one trust anchor, with an issuer for each. " +
		"In real clusters that is cert-manager's work.")
	s.shell.show(ingressCommand())
	if err := s.startIngress(ctx); err != nil {
		return err
	}
	told, err := s.checkOutsider(ctx)
	if err != nil {
		return err
	}
	s.tell.ok("It is ready, and proves to be %s.", ingressIdentity)
	s.tell.ok("Who shows no certificate is turned away: %s.", told)
	s.tell.ok("Its account may read Services and endpoints, and may not read Secrets, list pods or write.")
	return nil
}

func (s *stage) link(ctx context.Context) error {
	if _, err := s.shell.run(ctx, "kubectl --context=west create namespace "+linksNamespace); err != nil {
		return err
	}
	_, err := s.shell.run(ctx, "mirror --context=east link --cluster-name=east | kubectl --context=west apply -f -")
	return err
}

func (s *stage) startEgress(ctx context.Context) error {
	if err := errors.Join(s.letEgressRead(ctx), s.listEgress(ctx)); err != nil {
		return err
	}
	line := "gateway egress --bind-address=" + egressIP + " " + gatewayFlags(egressIP, egressAccount, nameWest, egressDrainDelay)
	to := output{out: egressAccessLog, log: "egress.log"}
	s.shell.show(line, to)
	started, err := s.shell.start(line, to, s.lost)
	if err != nil {
		return err
	}
	s.egress = started
	if err := awaitReady(ctx, egressIP); err != nil {
		return err
	}
	s.tell.say("It is a process here; an EndpointSlice stands in for its pod at " + egressIP + ".")
	s.tell.ok("It is ready. Its account may read Services and endpoints, and Links in one namespace, but no Secrets.")
	return nil
}

func (s *stage) startController(ctx context.Context) error {
	line, to := "mirror --context=west controller", output{log: "controller.log"}
	s.shell.show(line, to)
	started, err := s.shell.start(line, to, s.lost)
	if err != nil {
		return err
	}
	s.controller = started
	return s.showLink(ctx, healthy("0"))
}

func (s *stage) lookAtLink(ctx context.Context) error {
	if err := s.showLink(ctx, healthy("2")); err != nil {
		return err
	}
	return s.showGateways(ctx, metav1.ConditionTrue, "2")
}
