package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
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
	fs.StringVar(&o.output, "o", "table", "table or json ($OUTPUT)")
	fs.StringVar(&o.profile, "profile", "", "run our gateways from this program and write CPU and memory profiles into this folder ($PROFILE)")
	idle := fs.String("idle", "1000,10000", "numbers of idle connections to measure memory with ($IDLE)")
	only := fs.String("only", "", fmt.Sprintf("sections to run, all but %s when empty: %s ($ONLY)", sectionUpload, strings.Join(sectionNames(), ",")))
	for _, name := range []string{"rounds", "seconds", "short", "idle", "only", "profile", "o"} {
		if err := fromEnvironment(fs, name); err != nil {
			return o, err
		}
	}
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	return o, o.finish(*seconds, *idle, *only)
}

// fromEnvironment takes a variable as if it were the flag.
func fromEnvironment(fs *flag.FlagSet, name string) error {
	variable := strings.ToUpper(name)
	if name == "o" {
		variable = "OUTPUT"
	}
	value := os.Getenv(variable)
	if value == "" {
		return nil
	}
	if err := fs.Set(name, value); err != nil {
		return fmt.Errorf("$%s is %q: %w", variable, value, err)
	}
	return nil
}

// finish takes the lists apart and checks everything.
func (o *options) finish(seconds float64, idle, only string) error {
	for field := range strings.SplitSeq(idle, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n < 1 || n > maxIdle {
			return fmt.Errorf("-idle: %q is no number from 1 to %d", field, maxIdle)
		}
		o.idle = append(o.idle, n)
	}
	slices.Sort(o.idle)
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	for _, name := range o.only {
		if !slices.Contains(sectionNames(), name) {
			return fmt.Errorf("-only: there is no section %q, only %s", name, strings.Join(sectionNames(), ", "))
		}
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
	case o.output != "table" && o.output != "json":
		return fmt.Errorf("-o %q: give table or json", o.output)
	}
	return nil
}

// wants says whether a section is to be run.
func (o options) wants(section string) bool {
	if len(o.only) == 0 {
		return section != sectionUpload
	}
	return slices.Contains(o.only, section)
}
