package traffic

import "time"

// MarkReport is what happened from a mark to the next one, or to now. A vote belongs to where it ended, so wait for as
// long as --timeout before the next mark.
type MarkReport struct {
	Name      string  `json:"name"`
	AtSeconds float64 `json:"atSeconds"`
	Succeeded int     `json:"succeeded"`
	Failed    int     `json:"failed"`
	// FailedFresh are those of them that were to go over new connections: no connection from before was in their way.
	FailedFresh int `json:"failedFresh"`
	// Failures are the kinds.
	Failures map[string]int `json:"failures"`
	// FailedAfter is how long votes took that failed: at once, or after somebody's patience.
	FailedAfter Latency `json:"failedAfterMilliseconds"`
	// Gap is the longest time without a success after it, in seconds.
	Gap float64 `json:"longestGapSeconds"`
	// FirstSuccess is the answer to the first vote sent after the mark that succeeded.
	FirstSuccess *float64 `json:"firstSuccessSeconds"`
	// LastFailure is the end of the last vote that failed: from then on all is well.
	LastFailure *float64 `json:"lastFailureSeconds"`
	// Before is the cluster that answered last before the mark.
	Before string `json:"clusterBefore"`
	// Moved is the first answer from another cluster, MovedTo which that was, and Back the first one from Before after
	// that. All three are of votes sent after the mark.
	Moved   *float64 `json:"movedSeconds"`
	MovedTo string   `json:"movedTo"`
	Back    *float64 `json:"backSeconds"`
}

// mark reports of one mark. The marks are sorted, and the samples too, by their ends.
func (r Recorded) mark(i int) MarkReport {
	m, until := r.Marks[i], r.Now
	if i+1 < len(r.Marks) {
		until = r.Marks[i+1].At
	}
	report := MarkReport{
		Name: m.Name, AtSeconds: r.since(m.At), Failures: map[string]int{}, Gap: r.longest(m.At, until).Seconds,
	}
	var took []time.Duration
	for _, s := range r.Samples {
		if s.End.Before(m.At) {
			if s.Failure == "" {
				report.Before = s.Cluster
			}
			continue
		}
		if last := i+1 == len(r.Marks); !last && !s.End.Before(until) {
			break
		}
		report.add(m.At, s)
		if s.Failure != "" {
			took = append(took, s.End.Sub(s.Due))
		}
		if s.Failure != "" && s.Fresh {
			report.FailedFresh++
		}
	}
	report.FailedAfter = latency(took)
	return report
}

func (report *MarkReport) add(at time.Time, s Sample) {
	after := seconds(s.End.Sub(at))
	if s.Failure != "" {
		report.Failed++
		report.Failures[s.Failure]++
		report.LastFailure = &after
		return
	}
	report.Succeeded++
	if s.Due.Before(at) {
		return // it may have been counted before the mark
	}
	if report.FirstSuccess == nil {
		report.FirstSuccess = &after
	}
	switch elsewhere := report.Before != "" && s.Cluster != report.Before; {
	case elsewhere && report.Moved == nil:
		report.Moved, report.MovedTo = &after, s.Cluster
	case !elsewhere && report.Moved != nil && report.Back == nil:
		report.Back = &after
	}
}
