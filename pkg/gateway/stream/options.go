package stream

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/spf13/pflag"
)

// Which streams the access log has.
const (
	// LogOff writes none.
	LogOff = "off"
	// LogDenied writes those that were denied or refused, or that failed.
	LogDenied = "denied"
	// LogAll writes all.
	LogAll = "all"
)

// Formats of the access log.
const (
	FormatText = "text"
	FormatJSON = "json"
)

// LogOptions are the settings of the access log.
type LogOptions struct {
	// Streams is LogOff, LogDenied or LogAll.
	Streams string
	// Format is FormatText or FormatJSON.
	Format string
}

// Default fills in what is empty.
func (o *LogOptions) Default() {
	o.Streams = cmp.Or(o.Streams, LogOff)
	o.Format = cmp.Or(o.Format, FormatText)
}

// Bind adds a flag for each field. What the fields hold, or else the defaults, are the flags' defaults.
func (o *LogOptions) Bind(fs *pflag.FlagSet) {
	o.Default()
	fs.StringVar(&o.Streams, "access-log", o.Streams,
		"streams that get a line on standard output at their end: off, denied (those that were denied or refused, or failed) or all")
	fs.StringVar(&o.Format, "access-log-format", o.Format, "text or json")
}

// Validate names every flag whose value cannot work.
func (o LogOptions) Validate() error {
	var errs []error
	if o.Streams != LogOff && o.Streams != LogDenied && o.Streams != LogAll {
		errs = append(errs, fmt.Errorf("--access-log is %q, must be %s, %s or %s", o.Streams, LogOff, LogDenied, LogAll))
	}
	if o.Format != FormatText && o.Format != FormatJSON {
		errs = append(errs, fmt.Errorf("--access-log-format is %q, must be %s or %s", o.Format, FormatText, FormatJSON))
	}
	return errors.Join(errs...)
}

// wants says whether the access log has a line for a stream.
func (o LogOptions) wants(r *Record) bool {
	return o.Streams == LogAll || o.Streams == LogDenied && r.failed()
}
