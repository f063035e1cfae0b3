package translate

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestEveryLimitHasADefaultAndAFlag(t *testing.T) {
	var l Limits
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	l.Bind(fs)
	if err := l.Validate(); err != nil {
		t.Errorf("the defaults are not valid: %v", err)
	}
	fs.VisitAll(func(f *pflag.Flag) {
		value := "7777"
		if f.Value.Type() == "duration" {
			value = "7777s"
		}
		if err := f.Value.Set(value); err != nil {
			t.Error(err)
		}
	})
	for field, value := range reflect.ValueOf(l).Fields() {
		if field.Name == "DrainTimeout" {
			continue // the process's own
		}
		if n := value.Int(); n != 7777 && n != int64(7777*time.Second) {
			t.Errorf("%s is bound to no flag", field.Name)
		}
	}
}

func TestLimitsThatCannotWorkAreNamed(t *testing.T) {
	var l Limits
	l.Default()
	for name, c := range map[string]struct {
		edit func(*Limits)
		want string
	}{
		"no streams":       {func(l *Limits) { l.MaxStreams = -1 }, "--http-max-streams is -1, must be from 1"},
		"too many streams": {func(l *Limits) { l.MaxStreams = 1e6 }, "--http-max-streams is 1000000"},
		"small headers":    {func(l *Limits) { l.MaxHeaderBytes = 10 }, "--http-max-header-bytes is 10, must be from 4096"},
		"huge headers":     {func(l *Limits) { l.MaxHeaderBytes = 1 << 30 }, "--http-max-header-bytes is 1073741824"},
		"no idling":        {func(l *Limits) { l.IdleTimeout = -1 }, "--http-idle-timeout is -1ns, must be at least 10ms"},
		"no stalling":      {func(l *Limits) { l.StallTimeout = 1 }, "--http-stall-timeout is 1ns"},
		"no answers":       {func(l *Limits) { l.AnswerTimeout = 1 }, "--http-answer-timeout is 1ns"},
		"no connecting":    {func(l *Limits) { l.ConnectTimeout = 1 }, "--http-connect-timeout is 1ns"},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := l
			c.edit(&wrong)
			if err := wrong.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
