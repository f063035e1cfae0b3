package link

import (
	"strconv"
	"strings"
	"time"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

func parseProbe(spec v1alpha3.ProbeSpec, ps *problems) Probe {
	p := Probe{
		Path:             parseProbePath(spec.Path, ps),
		Port:             parsePort("spec.probeSpec.port", spec.Port, DefaultProbePort, ps),
		Period:           parseDuration("spec.probeSpec.period", spec.Period, DefaultProbePeriod, ps),
		Timeout:          parseDuration("spec.probeSpec.timeout", spec.Timeout, DefaultProbeTimeout, ps),
		FailureThreshold: parseThreshold(spec.FailureThreshold, ps),
	}
	// A probe that outlives its period would overlap the next; Linkerd's own defaults (3s, 30s) do.
	p.Timeout = min(p.Timeout, p.Period)
	return p
}

func parseProbePath(value string, ps *problems) string {
	if value == "" {
		return DefaultProbePath
	}
	if !strings.HasPrefix(value, "/") || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		ps.addValue("spec.probeSpec.path", value, "must be an HTTP path that starts with '/' and holds no spaces")
	}
	return value
}

// ParsePeriod reads a Go duration or, as old Links and gateway annotations have it, bare seconds.
func ParsePeriod(value string) (time.Duration, bool) {
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	d, err := time.ParseDuration(value)
	return d, err == nil
}

func parseDuration(field, value string, def time.Duration, ps *problems) time.Duration {
	if value == "" {
		return def
	}
	d, ok := ParsePeriod(value)
	if !ok || d < MinProbePeriod || d > MaxProbePeriod {
		ps.addValue(field, value, "must be a duration such as "+def.String()+" or bare seconds, at least "+MinProbePeriod.String()+" and at most "+MaxProbePeriod.String())
		return def
	}
	return d
}

func parseThreshold(value string, ps *problems) int {
	if value == "" {
		return DefaultFailureThreshold
	}
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n == 0 {
		ps.addValue("spec.probeSpec.failureThreshold", value, "must be a number from 1 to 65535")
		return DefaultFailureThreshold
	}
	return int(n)
}
