package traffic

import (
	"fmt"
	"slices"

	"github.com/linkspan/linkspan/test/app/vote"
)

// mostNamed bounds the list of IDs.
const mostNamed = 20

// Votes says whether every vote was counted, once.
type Votes struct {
	Run string `json:"run"`
	// Acknowledged are votes that were answered well.
	Acknowledged int `json:"acknowledged"`
	// Counted are all votes of this run that were counted.
	Counted int `json:"counted"`
	// Lost were acknowledged, and are not counted although the memory that they were counted in is there. There must be
	// none.
	Lost int `json:"lost"`
	// Doubled came more than once. There must be none: nobody repeats a vote.
	Doubled int `json:"doubled"`
	// Unacknowledged were counted, but their answers were failures. That may happen to what is cut.
	Unacknowledged int `json:"unacknowledged"`
	// Gone were acknowledged by instances that ended with all that they knew, since all of voting was gone at a time.
	Gone int `json:"gone"`
	// Unknown are counted, but by no ID that was sent. There must be none.
	Unknown int `json:"unknown"`

	LostIDs    []string `json:"lostIDs"`
	DoubledIDs []string `json:"doubledIDs"`
}

// Account compares what became of votes, of which so many were sent, with what was counted, by all places that votes go
// to. What was counted must be asked for after the samples were taken, and before sent was.
func Account(run string, sent int, samples []Sample, counts []vote.Results) Votes {
	v := Votes{Run: run, LostIDs: []string{}, DoubledIDs: []string{}}
	counted, epochs := map[string]int{}, map[string]bool{}
	for _, c := range counts {
		epochs[c.Epoch] = true
		for id, received := range c.Votes {
			counted[id] += received
		}
	}
	v.Counted = len(counted)
	for id, received := range counted {
		if received > 1 {
			v.DoubledIDs = append(v.DoubledIDs, id)
		}
	}
	v.Doubled = len(v.DoubledIDs)
	for _, s := range samples {
		v.judge(run, s, counted, epochs)
	}
	for number := range sent { // the others are on their way, or forgotten
		delete(counted, ID(run, number))
	}
	v.Unknown = len(counted)
	slices.Sort(v.LostIDs)
	slices.Sort(v.DoubledIDs)
	v.LostIDs, v.DoubledIDs = v.LostIDs[:min(len(v.LostIDs), mostNamed)], v.DoubledIDs[:min(len(v.DoubledIDs), mostNamed)]
	return v
}

// judge says what became of one vote, and takes it out of those counted.
func (v *Votes) judge(run string, s Sample, counted map[string]int, epochs map[string]bool) {
	id := ID(run, s.Number)
	_, found := counted[id]
	delete(counted, id)
	switch {
	case s.Failure != "" && found:
		v.Unacknowledged++
	case s.Failure != "":
	case found:
		v.Acknowledged++
	case epochs[s.Epoch]:
		v.Acknowledged++
		v.Lost++
		v.LostIDs = append(v.LostIDs, id)
	default:
		v.Acknowledged++
		v.Gone++
	}
}

// ID is that of a vote.
func ID(run string, number int) string { return fmt.Sprintf("%s-%d", run, number) }
