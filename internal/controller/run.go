package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/build"
	"github.com/linkspan/linkspan/internal/logging"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/link/remote"
	"github.com/linkspan/linkspan/pkg/mirror"
	"github.com/linkspan/linkspan/pkg/mirror/egress"
	"github.com/linkspan/linkspan/pkg/probe"
)

const (
	// leaseName is the Lease of leader election.
	leaseName = v1alpha3.ControllerLease
	// stopTimeout is how long what is under way may take to end.
	stopTimeout = 10 * time.Second
)

// Run runs the controller until ctx ends, and returns when everything of it has ended. A lost lease
// is an error: the process must end, because a term's leftovers would write beside the next leader.
func Run(ctx context.Context, cfg *rest.Config, opts Options, logTo io.Writer) error {
	if err := opts.Validate(); err != nil {
		return err
	}
	log, level := logging.New(opts.Log, logTo)
	logging.NewMetrics(opts.registry(), level)
	build.NewMetrics(opts.registry(), opts.Version)
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	return run(ctx, cfg, opts, log, level)
}

// run is Run without the loggers that a process has only one of. The options are valid.
func run(ctx context.Context, cfg *rest.Config, opts Options, log logr.Logger, level http.Handler) error {
	mgr, ready, err := newManager(cfg, opts, log, level)
	if err != nil {
		return err
	}
	if err := declare(ctx, mgr.GetCache()); err != nil {
		return err
	}
	if err := connectParts(ctx, mgr, opts, log); err != nil {
		return err
	}
	go func() { ready.Store(mgr.GetCache().WaitForCacheSync(ctx)) }()
	log.Info("Starting", "namespace", opts.Namespace, "leaderElection", opts.LeaderElect)
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("running the controller: %w", err)
	}
	return nil
}

func newManager(cfg *rest.Config, opts Options, log logr.Logger, level http.Handler) (ctrl.Manager, *atomic.Bool, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha3.AddToScheme(scheme)); err != nil {
		return nil, nil, fmt.Errorf("registering types: %w", err)
	}
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.Burst = opts.limits()
	renew := opts.LeaseDuration * 2 / 3
	lock, err := leaseLock(cfg, opts, renew)
	if err != nil {
		return nil, nil, err
	}
	ready := &atomic.Bool{}
	retry := opts.LeaseDuration / 7
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: scheme,
		Logger: log,
		Cache:  cacheOptions(opts.Namespace, opts.Mirror.ImportNamespaces),
		Metrics: metricsserver.Options{BindAddress: opts.AdminAddress, ExtraHandlers: map[string]http.Handler{
			"/livez":     answer(func() bool { return true }),
			"/readyz":    answer(ready.Load),
			"/log-level": level,
		}},
		HealthProbeBindAddress:              "0",
		LeaderElection:                      opts.LeaderElect,
		LeaderElectionID:                    leaseName, // the name in leader_election_master_status
		LeaderElectionResourceLockInterface: lock,
		LeaderElectionReleaseOnCancel:       true, // safe: the process ends once Run returns
		LeaseDuration:                       &opts.LeaseDuration,
		RenewDeadline:                       &renew,
		RetryPeriod:                         &retry,
		GracefulShutdownTimeout:             new(stopTimeout),
		Controller:                          config.Controller{SkipNameValidation: new(true)}, // several run in one test process
	})
	if err != nil {
		return nil, nil, fmt.Errorf("preparing the controller: %w", err)
	}
	return mgr, ready, nil
}

// leaseLock is the Lease of leader election. The manager's own would also write core events about it,
// for which it would need a permission that nothing else of us does.
func leaseLock(cfg *rest.Config, opts Options, renew time.Duration) (resourcelock.Interface, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.Timeout = renew / 2 // one request that hangs must not cost the lease
	leases, err := coordinationv1.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("preparing leader election: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("preparing leader election: %w", err)
	}
	return &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: opts.Namespace, Name: leaseName},
		Client:     leases,
		LockConfig: resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())},
	}, nil
}

// answer serves a health check.
func answer(healthy func() bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !healthy() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		writeLine(w, "ok")
	})
}

// writeLine answers a request; a client that is gone misses nothing.
func writeLine(w io.Writer, text string) {
	_, _ = fmt.Fprintln(w, text)
}

// connectParts connects the parts. The arrows between them are functions, so that none imports the next:
// connections, probes and the egress tell the mirror controller, and the first three tell the status writer.
func connectParts(ctx context.Context, mgr ctrl.Manager, opts Options, log logr.Logger) error {
	links := remote.NewLinks()
	remoteMetrics := remote.NewMetrics(opts.registry())
	status := &remote.StatusWriter{Log: log.WithName("status"), Client: mgr.GetClient(), Namespace: opts.Namespace, Links: links, Metrics: remoteMetrics}

	var mirrors *mirror.Reconciler
	slices, err := egressCache(mgr, opts.Namespace, opts.Mirror.EgressService)
	if err != nil {
		return err
	}
	pods, err := egress.New(ctx, log.WithName("egress"), slices, func() { mirrors.EgressChanged() })
	if err != nil {
		return err
	}
	connections := remote.NewConnections(log.WithName("connection"), "linkspan-mirror", remoteMetrics, localIdentity(mgr.GetAPIReader()), remote.Events{
		Link:    func(n link.Name) { mirrors.LinkChanged(n) },
		Attempt: status.Changed,
		Service: func(n link.Name, k remote.ServiceKey, initial bool) { mirrors.ServiceChanged(n, k, initial) },
	})
	gateways, err := probing(mgr, opts, log.WithName("probe"), func(n link.Name) {
		status.Verdict(n) // first: the egress goes by it, and clients come once the slices are written
		mirrors.GatewayChanged(n)
	})
	if err != nil {
		return err
	}
	mirrors = mirror.NewReconciler(opts.Mirror, mirror.Dependencies{
		Log: log.WithName("mirror"), Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Links: links, Targets: connections,
		Gateways: gateways, Egress: pods, Events: mgr.GetEventRecorder("linkspan"), Metrics: mirror.NewMetrics(opts.registry()),
		Status: status.Changed, Elected: mgr.Elected(), Now: time.Now,
	})
	status.Connections, status.Mirrors, status.Gateway = connections, mirrors.Report, gatewayReport(gateways, mirrors.LacksIdentity)

	controller := &remote.Controller{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Namespace: opts.Namespace, Imports: opts.Mirror.ImportNamespaces, Links: links, Connections: connections,
		Gateways: gateways, Metrics: remoteMetrics, Changed: mirrors.LinkChanged, Status: status.Changed, Forget: mirrors.Forget, ResumeHold: mirrors.ResumeHold,
		Elected: mgr.Elected(),
	}
	return errors.Join(
		mirrors.SetupWithManager(ctx, mgr), controller.SetupWithManager(mgr),
		mgr.Add(pods), mgr.Add(connections), mgr.Add(gateways), mgr.Add(status),
	)
}

// localIdentity reads the UID of our own kube-system once.
func localIdentity(live client.Reader) func(context.Context) (types.UID, error) {
	var mu sync.Mutex
	var uid types.UID
	return func(ctx context.Context) (types.UID, error) {
		mu.Lock()
		known := uid
		mu.Unlock()
		if known != "" {
			return known, nil
		}
		var ns corev1.Namespace
		if err := live.Get(ctx, client.ObjectKey{Name: "kube-system"}, &ns); err != nil {
			return "", fmt.Errorf("reading namespace kube-system: %w", err)
		}
		mu.Lock()
		defer mu.Unlock()
		uid = ns.UID
		return uid, nil
	}
}

func gatewayReport(g *probe.Gateways, lacksIdentity func(link.Name) bool) func(link.Name) remote.GatewayReport {
	return func(n link.Name) remote.GatewayReport {
		addresses, _ := g.Addresses(n)
		out := remote.GatewayReport{NoIdentity: lacksIdentity(n)}
		for _, a := range addresses {
			text := a.IP.String()
			if a.Name != "" {
				text += " (" + a.Name + ")"
			}
			out.Addresses = append(out.Addresses, v1alpha3.GatewayAddressStatus{Address: text, State: string(a.State), LastError: a.LastError})
		}
		if problems := g.Problems(n); len(problems) > 0 {
			out.Problem = problems[0].Error()
		}
		return out
	}
}
