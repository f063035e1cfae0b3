package logging

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// LOG-3, SEC-6: the level changes for a while, and only for who is in the pod.
func TestLogLevelHandler(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method, query, from string
		code                int
		level               slog.Level
		says                string
	}{
		"shown":                       {method: "GET", from: "127.0.0.1:5000", code: 200, says: "INFO"},
		"changed":                     {method: "PUT", query: "level=debug", from: "127.0.0.1:5000", code: 200, level: slog.LevelDebug, says: "DEBUG"},
		"changed over IPv6":           {method: "PUT", query: "level=error&for=1s", from: "[::1]:5000", code: 200, level: slog.LevelError},
		"changed over mapped IPv4":    {method: "PUT", query: "level=warn", from: "[::ffff:127.0.0.1]:5000", code: 200, level: slog.LevelWarn},
		"from elsewhere":              {method: "PUT", query: "level=debug", from: "10.42.0.7:5000", code: 403, says: "port-forward"},
		"shown to nobody else":        {method: "GET", from: "203.0.113.5:5000", code: 403},
		"from who knows where":        {method: "PUT", query: "level=debug", from: "@", code: 403},
		"a level that does not exist": {method: "PUT", query: "level=loud", from: "127.0.0.1:5000", code: 400, says: `"loud" is none of error, warn, info, debug`},
		"no level":                    {method: "PUT", from: "127.0.0.1:5000", code: 400},
		"a time that is none":         {method: "PUT", query: "level=debug&for=soon", from: "127.0.0.1:5000", code: 400, says: "for:"},
		"no time at all":              {method: "PUT", query: "level=debug&for=0s", from: "127.0.0.1:5000", code: 400, says: "for:"},
		"more than a day":             {method: "PUT", query: "level=debug&for=25h", from: "127.0.0.1:5000", code: 400, says: "24h"},
		"another method":              {method: "POST", query: "level=debug", from: "127.0.0.1:5000", code: 405},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, l := New(Options{Level: "info", Format: "text"}, &bytes.Buffer{})
			req := httptest.NewRequestWithContext(t.Context(), c.method, "/log-level?"+c.query, http.NoBody)
			req.RemoteAddr = c.from
			answer := httptest.NewRecorder()
			l.ServeHTTP(answer, req)
			if answer.Code != c.code || !strings.Contains(answer.Body.String(), c.says) {
				t.Errorf("answered %d %q, want %d with %q", answer.Code, answer.Body, c.code, c.says)
			}
			if got := l.current.Level(); got != c.level {
				t.Errorf("the level is %s, want %s", got, c.level)
			}
			if l.reset != nil {
				l.reset.Stop()
			}
		})
	}
}

func TestLogLevelGoesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log, l := New(Options{Level: "warn", Format: "json"}, &out)
		expect := func(want slog.Level) {
			t.Helper()
			if got := l.current.Level(); got != want {
				t.Errorf("the level is %s, want %s", got, want)
			}
		}
		change := func(level, period string) {
			t.Helper()
			if err := l.change(level, period); err != nil {
				t.Fatal(err)
			}
		}
		wait := func(d time.Duration) {
			<-time.After(d)
			synctest.Wait()
		}
		log.Info("unseen")
		change("debug", "1m")
		log.Info("seen")
		wait(59 * time.Second)
		expect(slog.LevelDebug)
		change("info", "1m") // the later change counts, and its time
		wait(59 * time.Second)
		expect(slog.LevelInfo)
		wait(2 * time.Second)
		expect(slog.LevelWarn)
		change("debug", "")
		wait(defaultLevelTime + time.Second)
		expect(slog.LevelWarn)
		if text := out.String(); strings.Contains(text, "unseen") || !strings.Contains(text, `"msg":"seen"`) {
			t.Errorf("logged %q", text)
		}
	})
}
