package traffic

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/linkspan/linkspan/test/app/vote"
)

var start = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

// took is how long each vote of the tables takes.
const took = 10 * time.Millisecond

// story makes a sample of each letter, one each tenth of a second: e is an answer from east, n one from north, x a reset,
// t a timeout on a new connection; a space is a tenth in which nothing was sent.
func story(text string) (all []Sample) {
	for i, what := range text {
		s := Sample{Number: i, End: at(float64(i) / 10)}
		s.Due = s.End.Add(-took)
		switch what {
		case 'e':
			s.Cluster, s.Pod, s.Epoch = "east", "voting-e", "1-e"
		case 'n':
			s.Cluster, s.Pod, s.Epoch = "north", "voting-n", "1-n"
		case 'x':
			s.Failure = "reset"
		case 't':
			s.Failure, s.Fresh = "timeout", true
		default:
			continue
		}
		all = append(all, s)
	}
	return all
}

func gap(from, to float64) Gap {
	return Gap{FromSeconds: from, ToSeconds: to, Seconds: (at(to).Sub(at(from))).Seconds()}
}

func TestOutages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		story   string
		now     float64
		longest Gap
		outages []Outage
		failed  int
	}{
		"nothing was sent":           {"", 2, gap(0, 2), []Outage{}, 0},
		"all is well":                {"eeeee", 0.5, gap(0, 0.1), []Outage{}, 0},
		"one failure":                {"eexee", 0.5, gap(0.1, 0.3), []Outage{{gap(0.1, 0.3), 1, true}}, 1},
		"two outages":                {"exxeexe", 0.7, gap(0, 0.3), []Outage{{gap(0, 0.3), 2, true}, {gap(0.4, 0.6), 1, true}}, 3},
		"an outage that goes on":     {"eexx", 1, gap(0.1, 1), []Outage{{gap(0.1, 1), 2, false}}, 2},
		"failures from the start":    {"xxe", 0.3, gap(0, 0.2), []Outage{{gap(0, 0.2), 2, true}}, 2},
		"a gap without failures":     {"ee     ee", 0.9, gap(0.1, 0.7), []Outage{}, 0},
		"a gap that goes on":         {"ee", 3, gap(0.1, 3), []Outage{}, 0},
		"every second one of two":    {"exexe", 0.5, gap(0, 0.2), []Outage{{gap(0, 0.2), 1, true}, {gap(0.2, 0.4), 1, true}}, 2},
		"other clusters end it, too": {"eexxnn", 0.6, gap(0.1, 0.4), []Outage{{gap(0.1, 0.4), 2, true}}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Compute(Recorded{Started: start, Now: at(c.now), Samples: story(c.story)})
			if got.Failed != c.failed || got.Succeeded+got.Failed != got.Sent {
				t.Errorf("%d of %d failed, want %d", got.Failed, got.Sent, c.failed)
			}
			if diff := cmp.Diff(c.longest, got.Longest, cmpopts.EquateApprox(0, 1e-6)); diff != "" {
				t.Errorf("the longest gap (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.outages, got.Outages, cmpopts.EquateApprox(0, 1e-6)); diff != "" {
				t.Errorf("outages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSwitchesBetweenClusters(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		story   string
		current string
		want    []Switch
	}{
		"none":                      {"eee", "east", []Switch{}},
		"no answer at all":          {"xx", "", []Switch{}},
		"there and back":            {"eexnnee", "east", []Switch{{0.3, "east", "north"}, {0.5, "north", "east"}}},
		"failures are no switch":    {"exxe", "east", []Switch{}},
		"what answers first is not": {"xnne", "east", []Switch{{0.3, "north", "east"}}},
	} {
		got := Compute(Recorded{Started: start, Now: at(1), Samples: story(c.story)})
		if diff := cmp.Diff(c.want, got.Switches); diff != "" || got.Current != c.current || got.SwitchCount != len(c.want) {
			t.Errorf("%s: now %q, %d switches (-want +got):\n%s", name, got.Current, got.SwitchCount, diff)
		}
	}
}

func TestWhatHappenedAfterAMark(t *testing.T) {
	t.Parallel()
	some := func(seconds float64) *float64 { return &seconds }
	for name, c := range map[string]struct {
		story string
		marks []float64
		now   float64
		want  MarkReport // of the first mark
	}{
		"nothing, and all is well": {"eeeeee", []float64{0.25}, 0.6, MarkReport{
			Succeeded: 3, Gap: 0.1, FirstSuccess: some(0.05), Before: "east",
		}},
		"an outage that ends": {"eeexxee", []float64{0.25}, 0.7, MarkReport{
			Succeeded: 2, Failed: 2, Failures: map[string]int{"reset": 2}, Gap: 0.25, FirstSuccess: some(0.25), LastFailure: some(0.15), Before: "east",
		}},
		"an outage that goes on": {"eeext", []float64{0.25}, 1.25, MarkReport{
			Failed: 2, FailedFresh: 1, Failures: map[string]int{"reset": 1, "timeout": 1}, Gap: 1, LastFailure: some(0.15), Before: "east",
		}},
		"another cluster takes over, and gives back": {"eeexnnee", []float64{0.25}, 0.8, MarkReport{
			Succeeded: 4, Failed: 1, Failures: map[string]int{"reset": 1}, Gap: 0.15, FirstSuccess: some(0.15), LastFailure: some(0.05),
			Before: "east", Moved: some(0.15), MovedTo: "north", Back: some(0.35),
		}},
		"another one takes over, and the first is still away": {"eeennn", []float64{0.25}, 0.6, MarkReport{
			Succeeded: 3, Gap: 0.1, FirstSuccess: some(0.05), Before: "east", Moved: some(0.05), MovedTo: "north",
		}},
		"what comes after the next mark is not of this one": {"eeexxnnee", []float64{0.25, 0.45}, 0.9, MarkReport{
			Failed: 2, Failures: map[string]int{"reset": 2}, Gap: 0.2, LastFailure: some(0.15), Before: "east",
		}},
		"an answer on its way at the mark proves nothing": {"eee", []float64{0.195}, 0.3, MarkReport{
			Succeeded: 1, Gap: 0.1, Before: "east",
		}},
		"a mark before any answer": {"eee", []float64{-0.5}, 0.3, MarkReport{
			Succeeded: 3, Gap: 0.5, FirstSuccess: some(0.5),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Recorded{Started: start, Now: at(c.now), Samples: story(c.story)}
			for _, mark := range c.marks {
				r.Marks = append(r.Marks, Mark{Name: "kill", At: at(mark)})
			}
			c.want.Name, c.want.AtSeconds = "kill", c.marks[0]
			if c.want.Failed > 0 {
				c.want.FailedAfter = Latency{P50: 10, P99: 10, Max: 10} // took
			}
			got := Compute(r).Marks[0]
			if diff := cmp.Diff(c.want, got, cmpopts.EquateApprox(0, 0.0011), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("the mark (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSecondsAreCountedOneByOne(t *testing.T) {
	t.Parallel()
	got := Compute(Recorded{Started: start, Now: at(3.2), Samples: append(story("eexen     nn"), Sample{End: at(9)})})
	want := []Second{
		{Second: 0, Succeeded: 4, Failed: 1, Clusters: map[string]int{"east": 3, "north": 1}},
		{Second: 1, Succeeded: 2, Clusters: map[string]int{"north": 2}},
		{Second: 2}, {Second: 3},
	}
	if diff := cmp.Diff(want, got.PerSecond); diff != "" {
		t.Errorf("seconds (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"reset": 1}, got.Failures); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
}

func TestLatencyIsThatOfSuccesses(t *testing.T) {
	t.Parallel()
	samples := []Sample{{Due: at(0), End: at(3), Failure: "timeout"}}
	for i := range 100 {
		samples = append(samples, Sample{Due: at(4), End: at(4).Add(time.Duration(i+1) * time.Millisecond)})
	}
	got := Compute(Recorded{Started: start, Now: at(5), Samples: samples}).Latency
	if want := (Latency{P50: 51, P99: 100, Max: 100}); got != want {
		t.Errorf("latency is %v, want %v", got, want)
	}
}

func TestEveryVoteIsCountedOnce(t *testing.T) {
	t.Parallel()
	east := func(votes map[string]int) []vote.Results { return []vote.Results{{Epoch: "1-e", Votes: votes}} }
	for name, c := range map[string]struct {
		story  string
		sent   int
		counts []vote.Results
		want   Votes
	}{
		"all is well": {"ee", 2, east(map[string]int{"r-0": 1, "r-1": 1}), Votes{Acknowledged: 2, Counted: 2}},
		"one is lost": {"ee", 2, east(map[string]int{"r-0": 1}), Votes{Acknowledged: 2, Counted: 1, Lost: 1, LostIDs: []string{"r-1"}}},
		"one came twice": {"ee", 2, east(map[string]int{"r-0": 2, "r-1": 1}), Votes{
			Acknowledged: 2, Counted: 2, Doubled: 1, DoubledIDs: []string{"r-0"},
		}},
		"one came in two clusters": {"en", 2, []vote.Results{
			{Epoch: "1-e", Votes: map[string]int{"r-0": 1}}, {Epoch: "1-n", Votes: map[string]int{"r-0": 1, "r-1": 1}},
		}, Votes{Acknowledged: 2, Counted: 2, Doubled: 1, DoubledIDs: []string{"r-0"}}},
		"one was counted, but its answer cut": {"ex", 2, east(map[string]int{"r-0": 1, "r-1": 1}), Votes{
			Acknowledged: 1, Counted: 2, Unacknowledged: 1,
		}},
		"one never came":                     {"ex", 2, east(map[string]int{"r-0": 1}), Votes{Acknowledged: 1, Counted: 1}},
		"one is still on its way":            {"e", 2, east(map[string]int{"r-0": 1, "r-1": 1}), Votes{Acknowledged: 1, Counted: 2}},
		"one was sent by nobody":             {"e", 1, east(map[string]int{"r-0": 1, "r-7": 1}), Votes{Acknowledged: 1, Counted: 2, Unknown: 1}},
		"all instances were gone at a time":  {"ee", 2, []vote.Results{{Epoch: "2-e", Votes: map[string]int{"r-1": 1}}}, Votes{Acknowledged: 2, Counted: 1, Gone: 1}},
		"what answered is asked nothing yet": {"n", 1, east(nil), Votes{Acknowledged: 1, Gone: 1}},
	} {
		c.want.Run = "r"
		got := Account("r", c.sent, story(c.story), c.counts)
		if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
