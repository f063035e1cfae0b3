package probe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// results reads a history: '.' is a success and 'x' a failure.
func results(history string) []bool {
	oks := make([]bool, 0, len(history))
	for _, r := range history {
		oks = append(oks, r == '.')
	}
	return oks
}

// letters are how verdicts are written in tables.
func letter(s State) string { return map[State]string{Unknown: "?", Alive: "A", Dead: "D"}[s] }

func TestMachineStep(t *testing.T) {
	cases := map[string]struct {
		failures, successes int
		history, verdicts   string
	}{
		"LESSON-3: alive at the first success":             {3, 2, "...", "AAA"},
		"LESSON-3: dead at start is dead at the threshold": {3, 2, "xxxx", "??DD"},
		"a success among failures at start is a verdict":   {3, 2, "xx.", "??A"},
		"LESSON-30: one lost probe moves nothing":          {3, 2, ".x.x.", "AAAAA"},
		"failures must be in a row":                        {3, 2, ".xx.xx.xxx", "AAAAAAAAAD"},
		"dead needs successes in a row to come back":       {2, 2, "xx.x..", "?DDDDA"},
		"LESSON-30: flapping does not revive the dead":     {1, 2, "x.x.x.", "DDDDDD"},
		"thresholds of one follow every result":            {1, 1, "x.x", "DAD"},
		"a higher success threshold":                       {1, 3, "x...", "DDDA"},
		"nothing changes twice":                            {2, 2, ".xxxx....", "AADDDDAAA"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			m := NewMachine(tc.failures, tc.successes)
			var got strings.Builder
			for i, ok := range results(tc.history) {
				next, changed := m.Step(ok)
				if want := next.State != m.State; changed != want {
					t.Errorf("step %d: changed = %v, want %v", i, changed, want)
				}
				m = next
				got.WriteString(letter(m.State))
			}
			if diff := cmp.Diff(tc.verdicts, got.String()); diff != "" {
				t.Errorf("verdicts after %q (-want +got):\n%s", tc.history, diff)
			}
		})
	}
}

// LESSON-17: other settings keep the verdict, and results under the old ones do not count.
func TestMachineRestarted(t *testing.T) {
	m := NewMachine(3, 2)
	for _, ok := range results(".xx") {
		m, _ = m.Step(ok)
	}
	m = m.Restarted(2)
	if m.State != Alive {
		t.Fatalf("state = %s, want it kept", m.State)
	}
	m, changed := m.Step(false)
	if changed {
		t.Errorf("dead after one failure under the new settings, want two")
	}
	if m, changed = m.Step(false); !changed || m.State != Dead {
		t.Errorf("state = %s after two failures, want %s", m.State, Dead)
	}
}

// endsWith says whether the last n results are all ok (or all not).
func endsWith(history []bool, n int, ok bool) bool {
	if len(history) < n {
		return false
	}
	for _, r := range history[len(history)-n:] {
		if r != ok {
			return false
		}
	}
	return true
}

func FuzzMachine(f *testing.F) {
	f.Add(uint8(3), uint8(2), []byte("..xxx.x.."))
	f.Add(uint8(1), uint8(1), []byte("x.x."))
	f.Add(uint8(2), uint8(5), []byte("xx....x....."))
	f.Fuzz(func(t *testing.T, failures, successes uint8, script []byte) {
		m := NewMachine(int(failures%8)+1, int(successes%8)+1)
		var history []bool
		for _, b := range script {
			ok := b%2 == 0
			history = append(history, ok)
			next, changed := m.Step(ok)
			again, _ := m.Step(ok)
			if next != again {
				t.Fatalf("not a pure function: %+v and %+v", next, again)
			}
			checkStep(t, m, next, changed, history)
			m = next
		}
	})
}

// checkStep states the rules by the whole history, not by counters.
func checkStep(t *testing.T, before, after Machine, changed bool, history []bool) {
	t.Helper()
	ok := history[len(history)-1]
	if changed != (before.State != after.State) {
		t.Fatalf("changed = %v from %s to %s", changed, before.State, after.State)
	}
	want := before.State
	switch {
	case endsWith(history, before.FailureThreshold, false):
		want = Dead
	case ok && before.State == Unknown:
		want = Alive
	case before.State == Dead && endsWith(history, before.SuccessThreshold, true):
		want = Alive
	}
	if after.State != want {
		t.Fatalf("%s became %s after %v, want %s", before.State, after.State, history, want)
	}
}
