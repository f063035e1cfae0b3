package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/linkspan/linkspan/test/figures"
)

// options say what to measure. Each has a flag and, for make, an environment variable.
type options struct {
	rounds int
	// window is how long each rate is measured, warm how long the load runs before that.
	window, warm time.Duration
	short        int
	idle         []int
	only         []string
	output       string
	profile      string
}

// maxIdle is what fits into the ports of one source and destination, with some left for the others.
const maxIdle = 20_000

// parseOptions reads flags, whose defaults come from the environment.
func parseOptions(args []string, out io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("gatewaybench", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.IntVar(&o.rounds, "rounds", 3, "how often each way is measured; the median counts ($ROUNDS)")
	seconds := fs.Float64("seconds", 3, "seconds that each rate is measured for; latencies for two thirds of it ($SECONDS)")
	fs.IntVar(&o.short, "short", 100_000, "short connections that memory must not grow over ($SHORT)")
	fs.StringVar(&o.output, "o", figures.FormatTable, "table or json ($OUTPUT)")
	fs.StringVar(&o.profile, "profile", "", "run our gateways from this program and write CPU and memory profiles into this folder ($PROFILE)")
	idle := fs.String("idle", "1000,10000", "numbers of idle connections to measure memory with ($IDLE)")
	only := fs.String("only", "", fmt.Sprintf("sections to run, all but %s when empty: %s ($ONLY)", sectionUpload, strings.Join(sectionNames(), ",")))
	if err := figures.Parse(fs, args); err != nil {
		return o, err
	}
	return o, o.finish(*seconds, *idle, *only)
}

// finish takes the lists apart and checks everything.
func (o *options) finish(seconds float64, idle, only string) error {
	var err error
	if o.idle, err = figures.Numbers("idle", idle, 1, maxIdle); err != nil {
		return err
	}
	if o.only, err = figures.Sections(only, sectionNames()); err != nil {
		return err
	}
	o.window = time.Duration(seconds * float64(time.Second))
	o.warm = max(o.window/10, 200*time.Millisecond)
	return o.validate()
}

func (o *options) validate() error {
	switch {
	case min(o.rounds, o.short) < 1:
		return errors.New("-rounds and -short must be at least 1")
	case o.window < 100*time.Millisecond || o.window > 10*time.Minute:
		return fmt.Errorf("-seconds is %v: give 0.1 to 600", o.window.Seconds())
	}
	return figures.CheckFormat(o.output)
}

// wants says whether a section is to be run.
func (o options) wants(section string) bool {
	if len(o.only) == 0 {
		return section != sectionUpload
	}
	return slices.Contains(o.only, section)
}
