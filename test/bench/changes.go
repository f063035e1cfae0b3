package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/figures"
	"github.com/linkspan/linkspan/test/rig"
)

const (
	revisionLabel = "example.com/revision"
	// changePatience ends a hang.
	changePatience = time.Minute
	// changeGap separates single changes, so that each meets a controller that is idle.
	changeGap = 50 * time.Millisecond
	// maxColdSamples keeps the new exports from becoming most of the cold start.
	maxColdSamples = 50
)

func measureChanges(ctx context.Context, w *world) ([]row, error) {
	if err := w.setUnexported(ctx, w.opts.services); err != nil {
		return nil, err
	}
	p, _, err := w.startCold(ctx, "changes")
	if err != nil {
		return nil, err
	}
	idle, err := w.changesWhenIdle(ctx, p)
	own := p.propagation(ctx)
	if err := errors.Join(err, p.stop()); err != nil {
		return nil, err
	}
	rows := []row{
		{Measure: "single change, idle: p50", Number: figures.Percentile(idle, 50), Unit: milliseconds, Note: own},
		{Measure: "single change, idle: p99", Number: figures.Percentile(idle, 99), Unit: milliseconds, Limit: new(50.0), Incumbent: "not within 60 s"},
		{Measure: "single change, idle: max", Number: slices.Max(idle), Unit: milliseconds, Note: fmt.Sprintf("%d changes of a label or a port, from sending the remote patch to hearing of the mirror's", len(idle))},
	}
	cold, remaining, err := w.changesWhenCold(ctx)
	if err != nil {
		return rows, err
	}
	note := fmt.Sprintf("%d new exports, from creating the Service to hearing that its mirror is ready; %d mirrors were still to be made after the last", len(cold), remaining)
	return append(rows,
		row{Measure: "new export, cold start: p50", Number: figures.Percentile(cold, 50), Unit: milliseconds},
		row{Measure: "new export, cold start: p99", Number: figures.Percentile(cold, 99), Unit: milliseconds, Incumbent: "not within 60 s"},
		row{Measure: "new export, cold start: max", Number: slices.Max(cold), Unit: milliseconds, Note: note},
	), nil
}

// propagation is the controller's own account of how long changes took it.
func (p *process) propagation(ctx context.Context) string {
	sum, known, err := p.metric(ctx, "linkspan_mirror_propagation_seconds_sum")
	if err != nil || !known {
		return "" // an addition to what was measured from outside
	}
	n, known, err := p.metric(ctx, "linkspan_mirror_propagation_seconds_count")
	if err != nil || !known || n == 0 {
		return ""
	}
	return fmt.Sprintf("by its own account %.1f ms on average, from seeing the change to the answer to the write", 1000*sum/n)
}

// changesWhenIdle changes one service at a time and waits for its mirror.
func (w *world) changesWhenIdle(ctx context.Context, p *process) ([]float64, error) {
	if err := w.settle(ctx); err != nil {
		return nil, err
	}
	services, err := w.follow(ctx, &corev1.ServiceList{})
	if err != nil {
		return nil, err
	}
	defer services.stop()
	ctx, cancel := p.whileRunning(ctx)
	defer cancel()
	w.progress.Say("timing %d single changes", w.opts.samples)
	took := make([]float64, 0, w.opts.samples)
	for i := range w.opts.samples {
		name := exportedName(i * 7 % w.opts.services)
		patch, seen := singleChange(i)
		started := time.Now()
		svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: appsNamespace, Name: name}}
		if err := w.east.Client().Patch(ctx, svc, patch); err != nil {
			return nil, fmt.Errorf("changing service %s: %w", name, err)
		}
		at, err := services.until(ctx, changePatience, "the mirror of "+name+" has change "+fmt.Sprint(i), func(c change) bool {
			mirror, ok := c.object.(*corev1.Service)
			return ok && mirror.Name == mirrorName(name) && seen(mirror)
		})
		if err != nil {
			return nil, err
		}
		took = append(took, inMilliseconds(at.Sub(started)))
		if err := pause(ctx, changeGap); err != nil {
			return nil, err
		}
	}
	return took, nil
}

// singleChange is a label for even numbers and a port for odd ones, and how to know it again.
func singleChange(i int) (client.Patch, func(*corev1.Service) bool) {
	if i%2 == 0 {
		revision := fmt.Sprintf("r%d", i)
		body := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, revisionLabel, revision)
		return client.RawPatch(types.MergePatchType, body), func(s *corev1.Service) bool { return s.Labels[revisionLabel] == revision }
	}
	port := int32(10_000 + i)
	body := fmt.Appendf(nil, `{"spec":{"ports":[{"name":"http","protocol":"TCP","port":%d}]}}`, port)
	return client.RawPatch(types.MergePatchType, body), func(s *corev1.Service) bool {
		return len(s.Spec.Ports) == 1 && s.Spec.Ports[0].Port == port
	}
}

// changesWhenCold exports one new service after the other while the first list is being mirrored,
// and says how much of that list was left in the end.
func (w *world) changesWhenCold(ctx context.Context) (took []float64, remaining int, err error) {
	if err := w.clear(ctx); err != nil {
		return nil, 0, err
	}
	mirrors, err := w.follow(ctx, &discoveryv1.EndpointSliceList{})
	if err != nil {
		return nil, 0, err
	}
	defer mirrors.stop()
	p, err := w.startController(ctx, "changes-cold")
	if err != nil {
		return nil, 0, err
	}
	var made int
	defer func() {
		err = errors.Join(err, p.stop(), each(ctx, made, func(ctx context.Context, i int) error { return w.deleteRemote(ctx, newName(i)) }))
	}()
	running, cancel := p.whileRunning(ctx)
	defer cancel()
	seen := newReadiness()
	if _, err := mirrors.until(running, w.patience(), "a tenth of the mirrors is ready", func(c change) bool {
		seen.see(c)
		return seen.ready >= w.opts.services/10
	}); err != nil {
		return nil, 0, err
	}
	w.progress.Say("timing new exports during a cold start")
	for ; made < min(w.opts.samples, maxColdSamples) && seen.ready-made < w.opts.services*9/10; made++ {
		one, err := w.newExport(running, mirrors, seen, made)
		if err != nil {
			return nil, 0, err
		}
		took = append(took, one)
	}
	if len(took) == 0 {
		return nil, 0, errors.New("the cold start was over before a service could be exported: measure with more services")
	}
	return took, w.opts.services - (seen.ready - made), nil
}

func newName(i int) string { return fmt.Sprintf("new-%05d", i) }

func (w *world) newExport(ctx context.Context, mirrors *feed, seen *readiness, i int) (float64, error) {
	name := newName(i)
	started := time.Now()
	if err := w.createRemote(ctx, name, i, rig.Exported(v1alpha3.ExportedGateway)); err != nil {
		return 0, err
	}
	at, err := mirrors.until(ctx, changePatience, "the mirror of "+name+" is ready", func(c change) bool {
		owner := seen.see(c)
		return owner == mirrorName(name) && seen.state[c.object.GetName()]
	})
	return inMilliseconds(at.Sub(started)), err
}
