package pipe

import (
	"fmt"
	"sync"
	"time"

	"github.com/linkspan/linkspan/pkg/gateway/socket"
)

const (
	// lookInterval is how often pipes are looked at for sides that are gone while nobody reads them.
	lookInterval = 5 * time.Second
	// leftLooks is for how many looks, five minutes, a side may take nothing of what one that is gone has left for it.
	leftLooks = 60
)

// Pipes are those of one owner. The zero value is ready, and must not be copied once it is used.
//
// Who reads a side is told when it is reset; but nobody does while the other side takes nothing, or once the
// side has ended its direction. So the sides that nobody reads are asked every now and then, all
// of them by one timer: one for each pipe, or a deadline for each write, would cost idle or busy streams. So is the
// kernel, about TCP connections whose host may have vanished; other Streams look after that themselves.
type Pipes struct {
	// Interval is how often; 5 seconds when zero. It is set before the first Join.
	Interval time.Duration

	mu   sync.Mutex
	open map[*joint]struct{}
	// timer calls look. It is armed while there are pipes, and while a look is under way.
	timer *time.Timer
	armed bool
	// looking is the look's own, of which there is one at a time, and kept for the next.
	looking []*joint
}

func (p *Pipes) begin(j *joint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		p.open = map[*joint]struct{}{}
	}
	p.open[j] = struct{}{}
	if !p.armed {
		p.arm()
	}
}

// arm has the next look come; the caller holds p.mu.
func (p *Pipes) arm() {
	interval := p.Interval
	if interval == 0 {
		interval = lookInterval
	}
	p.armed = true
	if p.timer == nil {
		p.timer = time.AfterFunc(interval, p.look)
	} else {
		p.timer.Reset(interval)
	}
}

func (p *Pipes) end(j *joint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, j)
	if len(p.open) == 0 && p.timer.Stop() {
		p.armed = false
	}
}

// look asks the sides that nobody reads whether they are gone.
func (p *Pipes) look() {
	now := time.Now()
	p.list()
	for _, j := range p.looking {
		j.look(&j.up, &j.down)
		j.look(&j.down, &j.up)
		j.listen(now)
	}
	clear(p.looking)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.armed = len(p.open) > 0; p.armed {
		p.arm()
	}
}

// list takes down the pipes that there are.
func (p *Pipes) list() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looking = p.looking[:0]
	for j := range p.open {
		p.looking = append(p.looking, j)
	}
}

// look ends the pipe if the side where w begins is gone without anybody's notice; back is the other direction.
func (j *joint) look(w, back *way) {
	turns := w.turns.Load()
	if turns%2 == 1 {
		return // somebody waits for it to say something, and is told
	}
	err := w.from.Gone()
	if err == nil {
		return
	}
	// A side that got its end lacks nothing, and may have sent all it had before it left. What has come of
	// that is for the other side to take, which may take its time but not for ever.
	if back.ending.Load() {
		if got := uint64(turns) + taken(w.to); got != w.seen {
			w.seen, w.still = got, 0
		}
		if w.still++; w.still <= leftLooks {
			return
		}
	}
	at := w.side.other()
	j.fail(at, fmt.Errorf("the %s is gone: %w", at, err))
}

// taken is how many bytes a Stream knows to have been taken, 0 where it knows of none: a single Write may last for minutes,
// although its receiver reads all the time.
func taken(by Stream) uint64 {
	if t, ok := by.(interface{ Taken() uint64 }); ok {
		return t.Taken()
	}
	return 0
}

// listen ends the pipe if the host of a side answers no more.
func (j *joint) listen(now time.Time) {
	for _, w := range [...]*way{&j.up, &j.down} {
		if t, ok := w.to.(*tcp); ok && t.unanswered(now) {
			j.fail(w.side, fmt.Errorf("the %s is gone: %w", w.side, socket.ErrUnanswered))
		}
	}
}
