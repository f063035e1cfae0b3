package traffic

import (
	"crypto/rand"
	"slices"
	"strings"
	"sync"
	"time"
)

// mostKept bounds the samples: more than half a day at 20 in a second, in about 150 MB.
const mostKept = 1_000_000

// idLength is how much of a random text makes a run's name, which must be unique among those that are ever counted.
const idLength = 10

// Meter records what becomes of votes.
type Meter struct {
	most int

	mu      sync.Mutex
	run     string
	started time.Time
	next    int // number of the next vote
	first   int // number of the first vote that is not forgotten
	ended   int
	samples []Sample
	marks   []Mark
}

// NewMeter begins a run.
func NewMeter() *Meter {
	m := &Meter{most: mostKept}
	m.Reset()
	return m
}

// Reset forgets everything and begins another run.
func (m *Meter) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.run, m.started = strings.ToLower(rand.Text()[:idLength]), time.Now()
	m.next, m.first, m.ended, m.samples, m.marks = 0, 0, 0, nil, nil
}

// Mark notes that something happens now.
func (m *Meter) Mark(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.marks = append(m.marks, Mark{Name: name, At: time.Now()})
}

// begin gives the run and the number of a vote that is sent now.
func (m *Meter) begin() (run string, number int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next++
	return m.run, m.next - 1
}

// end takes what became of a vote. One of a run that is over is of no interest.
func (m *Meter) end(run string, s Sample) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if run != m.run {
		return
	}
	if m.ended++; s.Number < m.first {
		return
	}
	if m.samples = append(m.samples, s); len(m.samples) > m.most {
		m.first = m.next - m.most*3/4 // some at a time, not one each time
		m.samples = slices.DeleteFunc(m.samples, func(s Sample) bool { return s.Number < m.first })
	}
}

// recorded is a copy of everything.
func (m *Meter) recorded() Recorded {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Recorded{
		Run: m.run, Started: m.started, Now: time.Now(), Samples: slices.Clone(m.samples), Marks: slices.Clone(m.marks),
		Unanswered: m.next - m.ended, Forgotten: m.ended - len(m.samples),
	}
}

// sent is how many votes the current run has sent.
func (m *Meter) sent() (run string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.run, m.next
}
