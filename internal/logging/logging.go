package logging

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
)

// Options say how to log.
type Options struct {
	// Level is error, warn, info or debug.
	Level string
	// Format is text or json.
	Format string
}

// Bind declares the flags --log-level and --log-format, with their defaults.
func (o *Options) Bind(fs *pflag.FlagSet) {
	fs.StringVar(&o.Level, "log-level", "info", "error, warn, info or debug; can be changed for a while at /log-level of the admin address")
	fs.StringVar(&o.Format, "log-format", "text", "text or json")
}

// Validate checks both options. Its error names the flag and what it takes.
func (o *Options) Validate() error {
	var errs []error
	if _, err := parseLevel(o.Level); err != nil {
		errs = append(errs, fmt.Errorf("--log-level: %w", err))
	}
	if o.Format != "text" && o.Format != "json" {
		errs = append(errs, fmt.Errorf("--log-format %q: give text or json", o.Format))
	}
	return errors.Join(errs...)
}

func parseLevel(s string) (slog.Level, error) {
	switch s {
	case "error":
		return slog.LevelError, nil
	case "warn":
		return slog.LevelWarn, nil
	case "info":
		return slog.LevelInfo, nil
	case "debug":
		return slog.LevelDebug, nil
	default:
		return 0, fmt.Errorf("%q is none of error, warn, info, debug", s)
	}
}

// Level is the log level, which can be changed for a while (LOG-3). New makes one.
type Level struct {
	configured slog.Level
	current    slog.LevelVar

	mu    sync.Mutex
	reset *time.Timer
}

// New makes a logger that writes to w and follows the level. The options are valid.
func New(o Options, w io.Writer) (logr.Logger, *Level) {
	configured, _ := parseLevel(o.Level) // checked by Validate
	l := &Level{configured: configured}
	l.current.Set(configured)
	options := &slog.HandlerOptions{Level: &l.current}
	var h slog.Handler = slog.NewTextHandler(w, options)
	if o.Format == "json" {
		h = slog.NewJSONHandler(w, options)
	}
	return logr.FromSlogHandler(h), l
}

// Bounds of how long a changed level stays.
const (
	defaultLevelTime = 10 * time.Minute
	maxLevelTime     = 24 * time.Hour
)

// ServeHTTP shows the level (GET) or changes it for a while: PUT /log-level?level=debug&for=10m.
// Only from the pod itself, for example through a port-forward (SEC-6).
func (l *Level) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if !fromLoopback(req.RemoteAddr) {
		http.Error(w, "the log level can be changed from the pod itself only: use kubectl port-forward", http.StatusForbidden)
		return
	}
	switch req.Method {
	case http.MethodGet:
	case http.MethodPut:
		if err := l.change(req.URL.Query().Get("level"), req.URL.Query().Get("for")); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	default:
		http.Error(w, "use GET or PUT", http.StatusMethodNotAllowed)
		return
	}
	_, _ = fmt.Fprintln(w, l.current.Level().String()) // a client that is gone misses nothing
}

func (l *Level) change(name, period string) error {
	next, err := parseLevel(name)
	if err != nil {
		return fmt.Errorf("level: %w", err)
	}
	stay := defaultLevelTime
	if period != "" {
		if stay, err = time.ParseDuration(period); err != nil || stay <= 0 || stay > maxLevelTime {
			return fmt.Errorf("for: %q is no duration of up to %s, such as 10m", period, maxLevelTime)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current.Set(next)
	if l.reset != nil {
		l.reset.Stop()
	}
	l.reset = time.AfterFunc(stay, func() { l.current.Set(l.configured) })
	return nil
}

func fromLoopback(remote string) bool {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
