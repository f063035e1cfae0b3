package serve

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/spf13/pflag"

	"github.com/linkspan/linkspan/test/app/origin"
)

const (
	// defaultDrain is longer than endpoints usually take to be followed everywhere.
	defaultDrain = 5 * time.Second
	// endPatience is for what is still open after that. With the drain it stays below the thirty seconds that
	// Kubernetes gives a pod.
	endPatience = 15 * time.Second
)

// Options are those that every server has.
type Options struct {
	// Name is what the server calls itself where it tells what it does.
	Name string
	// Listen is the address that it serves.
	Listen string
	// ReadyListen is the address of /ready of servers that do not speak HTTP; empty for none.
	ReadyListen string
	// Drain is how long it goes on once told to end.
	Drain time.Duration
	// Out is told where it listens, and that it ends.
	Out io.Writer

	origin.Identity
}

// Bind adds a flag for each field that users set. The address is the default.
func (o *Options) Bind(fs *pflag.FlagSet, address string) {
	fs.StringVar(&o.Listen, "listen", address, "address to listen at, such as :8080")
	fs.DurationVar(&o.Drain, "drain", defaultDrain, "how long to go on serving after SIGTERM, while not ready")
	o.Identity.Bind(fs)
}

// BindReady adds the flag of servers that do not speak HTTP.
func (o *Options) BindReady(fs *pflag.FlagSet) {
	fs.StringVar(&o.ReadyListen, "ready-listen", "", "address of /ready and /live over HTTP, such as :8080; none when empty")
}

// Validate names the field that is wrong.
func (o Options) Validate() error {
	if _, _, err := net.SplitHostPort(o.Listen); err != nil {
		return fmt.Errorf("--listen is %q, must be an address such as :8080: %w", o.Listen, err)
	}
	if _, _, err := net.SplitHostPort(o.ReadyListen); err != nil && o.ReadyListen != "" {
		return fmt.Errorf("--ready-listen is %q, must be an address such as :8080: %w", o.ReadyListen, err)
	}
	if o.Drain < 0 {
		return errors.New("--drain is negative: give a time such as 5s, or 0 for none")
	}
	return o.Identity.Validate()
}

// say tells what happens. Who reads it is of no concern to those who are served.
func (o Options) say(format string, args ...any) {
	_, _ = fmt.Fprintf(o.Out, o.Name+" "+format+"\n", args...)
}
