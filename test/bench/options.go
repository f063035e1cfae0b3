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
	services   int
	workers    int
	samples    int
	rounds     int
	idle       time.Duration
	unexported []int
	only       []string
	output     string
	profile    string
}

// parseOptions reads flags, whose defaults come from the environment.
func parseOptions(args []string, out io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.IntVar(&o.services, "services", 1000, "exported services ($SERVICES)")
	fs.IntVar(&o.workers, "workers", 16, "services written at the same time, by us and by the floor ($WORKERS)")
	fs.IntVar(&o.samples, "samples", 200, "single changes to time ($SAMPLES)")
	fs.IntVar(&o.rounds, "rounds", 3, "cold starts and floors, of which the median counts ($ROUNDS)")
	fs.DurationVar(&o.idle, "idle", time.Minute, "how long to count idle requests ($IDLE)")
	fs.StringVar(&o.output, "o", figures.FormatTable, "table or json ($OUTPUT)")
	fs.StringVar(&o.profile, "profile", "", "run the controller from this program and write CPU and memory profiles into this folder ($PROFILE)")
	unexported := fs.String("unexported", "0,1000,10000", "numbers of unexported services to measure memory with ($UNEXPORTED)")
	only := fs.String("only", "", "sections to run, all when empty: "+strings.Join(sectionNames(), ",")+" ($ONLY)")
	if err := figures.Parse(fs, args); err != nil {
		return o, err
	}
	return o, o.finish(*unexported, *only)
}

// finish takes the lists apart and checks everything.
func (o *options) finish(unexported, only string) error {
	var err error
	if o.unexported, err = figures.Numbers("unexported", unexported, 0, maxUnexported); err != nil {
		return err
	}
	if o.only, err = figures.Sections(only, sectionNames()); err != nil {
		return err
	}
	return o.validate()
}

func (o *options) validate() error {
	switch {
	case o.services < minServices || o.services > maxServices:
		return fmt.Errorf("-services is %d: give %d to %d", o.services, minServices, maxServices)
	case min(o.workers, o.samples, o.rounds) < 1:
		return errors.New("-workers, -samples and -rounds must be at least 1")
	case o.idle < time.Second:
		return fmt.Errorf("-idle is %s: give at least 1s", o.idle)
	}
	return figures.CheckFormat(o.output)
}

// wants says whether a section is to be run.
func (o options) wants(section string) bool {
	return len(o.only) == 0 || slices.Contains(o.only, section)
}

// A cold start of fewer services is over before anything can be measured in it. The most are what
// fits into the service range of a cluster (10.96.0.0/16).
const (
	minServices   = 20
	maxServices   = 20_000
	maxUnexported = 40_000
)
