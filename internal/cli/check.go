package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/linkspan/linkspan/internal/arguments"
	"github.com/linkspan/linkspan/internal/check"
	"github.com/linkspan/linkspan/internal/check/observe"
	"github.com/linkspan/linkspan/internal/install"
	"github.com/linkspan/linkspan/pkg/link"
)

const (
	formatTable = "table"
	formatShort = "short"
	formatBasic = "basic"

	// defaultWait is shorter than Linkerd's five minutes (CHK-4): a controller that starts is ready within it.
	defaultWait = 30 * time.Second
	// checkInterval is the time between two looks while waiting.
	checkInterval = 2 * time.Second
	// lookTimeout bounds one look; one that is under way when --wait is over may take as long as that.
	lookTimeout = 30 * time.Second
)

// errChecksFailed makes the exit code 1 without another word.
var errChecksFailed = errors.New("checks failed")

type checkOptions struct {
	namespace       string
	format          string
	pre, proxy      bool
	crds            bool
	wait            time.Duration
	expectedVersion string
	versionOverride string
}

func (o *checkOptions) bind(fs *pflag.FlagSet) {
	fs.StringVarP(&o.namespace, "namespace", "n", "", "namespace of Linkspan; when empty the one labelled linkerd.io/extension=linkspan, else "+link.DefaultNamespace)
	fs.StringVarP(&o.format, "output", "o", formatTable, "format: table, short (only what is not well), basic (ASCII) or json")
	fs.BoolVar(&o.pre, "pre", false, "check whether Linkspan can be installed")
	fs.BoolVar(&o.proxy, "proxy", false, "check gateways and mirrors only")
	fs.BoolVar(&o.crds, "crds", false, "check the CustomResourceDefinition only")
	fs.DurationVar(&o.wait, "wait", defaultWait, "how long to wait for what may be well in a moment")
	fs.StringVar(&o.expectedVersion, "expected-version", "", "version that everything should have, instead of this command's")
	fs.StringVar(&o.versionOverride, "cli-version-override", "", "take this for the version of this command")
	bindIgnored(fs, "cni-namespace") // `linkerd check` hands it on to extensions (CHK-9)
}

func (o *checkOptions) validate() error {
	var errs []error
	if !slices.Contains([]string{formatTable, formatShort, formatBasic, formatJSON}, o.format) {
		errs = append(errs, fmt.Errorf("--output %q must be table, short, basic or json", o.format))
	}
	if o.namespace != "" {
		errs = append(errs, validateNamespace("--namespace", o.namespace))
	}
	chosen := 0
	for _, one := range []bool{o.pre, o.proxy, o.crds} {
		if one {
			chosen++
		}
	}
	if chosen > 1 {
		errs = append(errs, errors.New("--pre, --proxy and --crds exclude each other: choose one"))
	}
	if o.wait < 0 {
		errs = append(errs, errors.New("--wait must not be negative"))
	}
	return errors.Join(errs...)
}

func newCheckCommand(streams Streams, globals *globalOptions, version string) *cobra.Command {
	o := &checkOptions{}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check whether an installation and its links work",
		Long: `Check whether an installation and its links work, and say how to mend what does not.

It changes nothing, and asks this cluster only: whether targets and gateways can be reached is what the
controller says, since this machine may have no way there. What you may not read is a warning. The
exit code is 1 when something is broken, and 0 with warnings or without.`,
		Example: `  mirror check
  mirror check --pre
  mirror check -o short --wait=5m`,
		Args: arguments.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams, globals, version)
		},
	}
	o.bind(cmd.Flags())
	return cmd
}

func (o *checkOptions) run(ctx context.Context, streams Streams, globals *globalOptions, version string) error {
	o.embedded(globals)
	if err := o.validate(); err != nil {
		return err
	}
	if o.versionOverride != "" {
		version = o.versionOverride
	}
	judge := func(facts check.Facts) check.Report {
		facts.CLI, facts.Expected = version, o.expectedVersion
		return check.Run(o.checks(), facts)
	}
	observer, err := o.observer(streams, globals)
	if err != nil {
		if o.format != formatJSON {
			return err
		}
		// A program that reads the report reads there that no cluster could be asked.
		return o.tell(streams, judge(check.Facts{Server: check.Read[check.Server]{Err: err}}))
	}
	progress := newProgress(streams)
	report := await(ctx, o.wait, progress.show, func(ctx context.Context) check.Report { return judge(observer.Observe(ctx)) })
	progress.clear()
	return o.tell(streams, report)
}

func (o *checkOptions) tell(streams Streams, report check.Report) error {
	if err := printReport(streams, o.format, report); err != nil {
		return err
	}
	if !report.Success() {
		return errChecksFailed
	}
	return nil
}

// embedded understands `linkerd check`, which runs each extension with the flags that it was given: lists in
// brackets, even empty ones, and as --namespace that of somebody's proxies, which is not where we are (CHK-9).
func (o *checkOptions) embedded(globals *globalOptions) {
	var groups []string
	bracketed := false
	for _, value := range globals.asGroups {
		inside, opens := strings.CutPrefix(value, "[")
		inside, closes := strings.CutSuffix(inside, "]")
		if !opens || !closes {
			groups = append(groups, value)
			continue
		}
		bracketed = true
		groups = append(groups, strings.FieldsFunc(inside, func(r rune) bool { return r == ',' })...)
	}
	globals.asGroups = groups
	if bracketed {
		o.namespace = ""
	}
}

func (o *checkOptions) observer(streams Streams, globals *globalOptions) (*observe.Observer, error) {
	config, err := globals.restConfig(streams)
	if err != nil {
		return nil, err
	}
	c, err := newClient(config)
	if err != nil {
		return nil, err
	}
	options := observe.Options{
		Namespace: o.namespace, Fallback: link.DefaultNamespace, LinkerdNamespace: globals.linkerdNamespace, LocalHost: isLocalHost,
	}
	if o.pre {
		options.Install = installRights()
	}
	observer, err := observe.New(config, c, options)
	if err != nil {
		return nil, fmt.Errorf("preparing the checks: %w", err)
	}
	return observer, nil
}

// installRights are what it takes to apply each kind that the charts render, by Helm or kubectl: both read what is there
// and create or change it. What is in a namespace has a placeholder for it.
func installRights() []check.Right {
	var rights []check.Right
	for _, kind := range install.Kinds() {
		resource, _ := meta.UnsafeGuessKindToResource(kind.GroupVersionKind)
		verbs := []string{"create", "get", "patch"}
		if kind.Group == "" && kind.Kind == "Secret" {
			verbs = append(verbs, "list", "update", "delete") // Helm keeps its releases in Secrets
		}
		for _, verb := range verbs {
			r := check.Right{Verb: verb, Group: kind.Group, Resource: resource.Resource}
			if kind.Namespaced {
				r.Namespace = link.DefaultNamespace
			}
			rights = append(rights, r)
		}
	}
	return rights
}

func (o *checkOptions) checks() []check.Check {
	switch {
	case o.pre:
		return check.Pre()
	case o.proxy:
		return check.Proxy()
	case o.crds:
		return check.CRDs()
	}
	return check.All()
}

// await looks again while everything that is broken may be well in a moment, and gives the last look.
func await(ctx context.Context, wait time.Duration, show func(check.Report), look func(context.Context) check.Report) check.Report {
	deadline := time.Now().Add(wait)
	for {
		report := bounded(ctx, look)
		if report.Success() || !report.MayPass() || time.Until(deadline) < checkInterval {
			return report
		}
		show(report)
		timer := time.NewTimer(checkInterval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return report
		case <-timer.C:
		}
	}
}

func bounded(ctx context.Context, look func(context.Context) check.Report) check.Report {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	return look(ctx)
}

// extensionName is under which name `linkerd` runs this command.
const extensionName = "linkerd-linkspan"

// newExtensionMetadataCommand answers `linkerd check`, which asks every linkerd-* program on the PATH whether it is to
// be run whatever the cluster holds. Ours is for clusters whose namespace says that Linkspan is installed.
func newExtensionMetadataCommand(streams Streams) *cobra.Command {
	return &cobra.Command{
		Use:    "_extension-metadata",
		Short:  "Tell the linkerd command about this extension",
		Hidden: true,
		Args:   arguments.None,
		RunE: func(*cobra.Command, []string) error {
			return printJSON(streams, struct {
				Name   string `json:"name"`
				Checks string `json:"checks"`
			}{extensionName, "cluster"})
		},
	}
}
