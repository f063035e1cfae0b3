package traffic

import (
	"cmp"
	"slices"
	"time"
)

// Sample is what became of one vote.
type Sample struct {
	// Number is the vote's place in its run; its ID is made of it.
	Number int
	// Due is when it was sent, End when its answer was there, or it was given up.
	Due, End time.Time
	// Failure is the kind of failure, nothing for success.
	Failure string
	// Fresh is that a new connection was asked for.
	Fresh bool
	// Cluster, Pod and Epoch are of the voting instance that counted it.
	Cluster, Pod, Epoch string
}

// Mark is an event that somebody told of, such as a pod that was killed.
type Mark struct {
	Name string
	At   time.Time
}

const (
	// mostListed bounds the lists of outages and switches.
	mostListed = 500
	// mostSeconds bounds the list of seconds, to the last ones.
	mostSeconds = 3600
)

// Report is what the samples come to. Times that are called …Seconds without another word are seconds since Started;
// those of a mark are seconds since the mark, and null for what has not happened.
type Report struct {
	Run     string    `json:"run"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`

	Sent      int `json:"sent"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	// Unanswered are votes on their way.
	Unanswered int `json:"unanswered"`
	// Forgotten are the oldest ones, which there is no room for. They count nowhere else.
	Forgotten int            `json:"forgotten"`
	Failures  map[string]int `json:"failures"`
	// Latency is that of successes.
	Latency Latency `json:"latencyMilliseconds"`

	// Longest is the longest time without a success.
	Longest Gap `json:"longestGap"`
	// Outages are the runs of failures without a success among them, from the last success before to the first after.
	Outages []Outage `json:"outages"`

	// Current is the cluster that answered last, Clusters and Pods how many each answered.
	Current  string         `json:"currentCluster"`
	Clusters map[string]int `json:"clusters"`
	Pods     map[string]int `json:"pods"`
	// Switches are the successes that came from another cluster than the one before.
	Switches []Switch `json:"switches"`
	// SwitchCount is how many there were: the list has the last ones only.
	SwitchCount int `json:"switchCount"`

	Marks     []MarkReport `json:"marks"`
	PerSecond []Second     `json:"perSecond"`
}

// Latency is in milliseconds.
type Latency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Gap is a time without a success.
type Gap struct {
	FromSeconds float64 `json:"fromSeconds"`
	ToSeconds   float64 `json:"toSeconds"`
	Seconds     float64 `json:"seconds"`
}

// Outage is a gap in which requests failed.
type Outage struct {
	Gap

	Failed int `json:"failed"`
	// Over is that there was a success after it.
	Over bool `json:"over"`
}

// Switch is a change of the cluster that answers.
type Switch struct {
	AtSeconds float64 `json:"atSeconds"`
	From      string  `json:"from"`
	To        string  `json:"to"`
}

// Second counts the answers that were there in one second.
type Second struct {
	Second    int            `json:"second"`
	Succeeded int            `json:"succeeded"`
	Failed    int            `json:"failed"`
	Clusters  map[string]int `json:"clusters,omitempty"`
}

// Recorded is all that a report is made of.
type Recorded struct {
	Run          string
	Started, Now time.Time
	Samples      []Sample
	Marks        []Mark
	Unanswered   int
	Forgotten    int
}

// Compute makes the report. It sorts the samples by their ends.
func Compute(r Recorded) Report {
	slices.SortStableFunc(r.Samples, func(a, b Sample) int { return a.End.Compare(b.End) })
	slices.SortStableFunc(r.Marks, func(a, b Mark) int { return a.At.Compare(b.At) })
	report := Report{
		Run: r.Run, Started: r.Started, Seconds: r.since(r.Now), Sent: len(r.Samples) + r.Unanswered,
		Unanswered: r.Unanswered, Forgotten: r.Forgotten,
		Failures: map[string]int{}, Clusters: map[string]int{}, Pods: map[string]int{},
		Outages: []Outage{}, Switches: []Switch{}, Marks: []MarkReport{}, PerSecond: []Second{},
	}
	var took []time.Duration
	for _, s := range r.Samples {
		if s.Failure != "" {
			report.Failed++
			report.Failures[s.Failure]++
			continue
		}
		report.Succeeded++
		report.Clusters[s.Cluster]++
		report.Pods[s.Pod]++
		report.turn(r, s)
		took = append(took, s.End.Sub(s.Due))
	}
	report.Latency = latency(took)
	report.Longest = r.longest(r.Started, r.Now)
	report.Outages = last(r.outages(), mostListed)
	report.SwitchCount = len(report.Switches)
	report.Switches = last(report.Switches, mostListed)
	report.PerSecond = last(r.perSecond(), mostSeconds)
	for i := range r.Marks {
		report.Marks = append(report.Marks, r.mark(i))
	}
	return report
}

// turn notes which cluster a success came from.
func (report *Report) turn(r Recorded, s Sample) {
	if report.Current != "" && report.Current != s.Cluster {
		report.Switches = append(report.Switches, Switch{AtSeconds: r.since(s.End), From: report.Current, To: s.Cluster})
	}
	report.Current = s.Cluster
}

// since is in seconds since the start, to the millisecond.
func (r Recorded) since(t time.Time) float64 { return seconds(t.Sub(r.Started)) }

func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond).Milliseconds()) / 1000
}

func (r Recorded) gap(from, to time.Time) Gap {
	return Gap{FromSeconds: r.since(from), ToSeconds: r.since(to), Seconds: seconds(to.Sub(from))}
}

// longest is the longest time without the end of a success between two times.
func (r Recorded) longest(from, to time.Time) Gap {
	longest, before := r.gap(from, from), from
	extend := func(until time.Time) {
		if g := r.gap(before, until); g.Seconds > longest.Seconds {
			longest = g
		}
		before = until
	}
	for _, s := range r.Samples {
		if s.Failure == "" && s.End.After(from) && s.End.Before(to) {
			extend(s.End)
		}
	}
	extend(to)
	return longest
}

func (r Recorded) outages() []Outage {
	all := []Outage{}
	from, failed := r.Started, 0
	for _, s := range r.Samples {
		if s.Failure != "" {
			failed++
			continue
		}
		if failed > 0 {
			all = append(all, Outage{Gap: r.gap(from, s.End), Failed: failed, Over: true})
		}
		from, failed = s.End, 0
	}
	if failed > 0 {
		all = append(all, Outage{Gap: r.gap(from, r.Now), Failed: failed})
	}
	return all
}

// perSecond has every second since the start, those without an answer too.
func (r Recorded) perSecond() []Second {
	all := make([]Second, max(0, int(r.Now.Sub(r.Started)/time.Second)+1))
	for i := range all {
		all[i].Second = i
	}
	for _, s := range r.Samples {
		i := int(s.End.Sub(r.Started) / time.Second)
		if i < 0 || i >= len(all) {
			continue // it ended while the report was being asked for
		}
		if s.Failure != "" {
			all[i].Failed++
			continue
		}
		all[i].Succeeded++
		if all[i].Clusters == nil {
			all[i].Clusters = map[string]int{}
		}
		all[i].Clusters[s.Cluster]++
	}
	return all
}

func latency(took []time.Duration) Latency {
	if len(took) == 0 {
		return Latency{}
	}
	slices.SortFunc(took, cmp.Compare[time.Duration])
	at := func(share float64) float64 { // the smallest that at least this share is not above
		i := min(len(took)-1, int(share*float64(len(took))))
		return float64(took[i].Microseconds()) / 1000
	}
	return Latency{P50: at(0.5), P99: at(0.99), Max: at(1)}
}

func last[T any](all []T, most int) []T { return all[max(0, len(all)-most):] }
