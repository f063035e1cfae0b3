package vote

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Vote is one receipt of a vote.
type Vote struct {
	ID     string `json:"id"`
	Choice string `json:"choice"`
	// Receipt is unique to this time that the vote came.
	Receipt string `json:"receipt"`
}

// Ledger is what one instance tells another.
type Ledger struct {
	Instance string `json:"instance"`
	Epoch    string `json:"epoch"`
	Votes    []Vote `json:"votes"`
	// Next is from where to ask the next time.
	Next int `json:"next"`
}

// Results are what the votes come to.
type Results struct {
	Instance string `json:"instance"`
	// Epoch is the same for all instances, for as long as there is always one.
	Epoch string `json:"epoch"`
	// Total is the number of votes, each counted once.
	Total int `json:"total"`
	// Repeated is how many of them came more than once.
	Repeated int            `json:"repeated"`
	Choices  map[string]int `json:"choices"`
	// Votes has how often each vote came, of those that were asked for.
	Votes map[string]int `json:"votes,omitempty"`
}

// Box counts votes. Any goroutine may call it.
type Box struct {
	instance string

	mu    sync.Mutex
	epoch string
	votes map[string]*counted
	// log has everything learned, in the order of learning, for those who ask from where they left off.
	log []Vote
}

type counted struct {
	choice   string
	receipts []string
}

// NewBox makes an empty box. Of two epochs that meet the lesser one stays, so it should begin with the time.
func NewBox(instance, epoch string) *Box {
	return &Box{instance: instance, epoch: epoch, votes: map[string]*counted{}}
}

// Cast counts a vote that came. It returns what to hand to the others, and how often the vote has come, of which only the
// first time counts.
func (b *Box) Cast(id, choice string) (Ledger, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := Vote{ID: id, Choice: choice, Receipt: fmt.Sprintf("%s/%d", b.instance, len(b.log))}
	b.learn(v)
	return Ledger{Instance: b.instance, Epoch: b.epoch, Votes: []Vote{v}}, len(b.votes[id].receipts)
}

// Merge takes what another instance knows.
func (b *Box) Merge(from Ledger) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.epoch = min(b.epoch, from.Epoch)
	for _, v := range from.Votes {
		b.learn(v)
	}
}

func (b *Box) learn(v Vote) {
	known := b.votes[v.ID]
	if known == nil {
		known = &counted{choice: v.Choice}
		b.votes[v.ID] = known
	}
	if !slices.Contains(known.receipts, v.Receipt) {
		known.receipts = append(known.receipts, v.Receipt)
		b.log = append(b.log, v)
	}
}

// Since is everything learned after what was told before.
func (b *Box) Since(n int) Ledger {
	b.mu.Lock()
	defer b.mu.Unlock()
	n = max(0, min(n, len(b.log)))
	return Ledger{Instance: b.instance, Epoch: b.epoch, Votes: slices.Clone(b.log[n:]), Next: len(b.log)}
}

// Results counts, and lists the votes whose IDs begin with a prefix; none when that is empty.
func (b *Box) Results(prefix string) Results {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := Results{Instance: b.instance, Epoch: b.epoch, Total: len(b.votes), Choices: map[string]int{}, Votes: map[string]int{}}
	for id, v := range b.votes {
		r.Choices[v.choice]++
		if len(v.receipts) > 1 {
			r.Repeated++
		}
		if prefix != "" && strings.HasPrefix(id, prefix) {
			r.Votes[id] = len(v.receipts)
		}
	}
	return r
}
