package traffic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/linkspan/linkspan/test/app/origin"
	"github.com/linkspan/linkspan/test/app/vote"
)

const (
	// mostAtATime bounds the votes on their way: what is beyond is a failure of the kind overload, and not sent.
	mostAtATime = 2000
	overload    = "overload"
	// wrong is an answer that is not that to the vote which was sent.
	wrong = "wrong answer"
	// mostRate is what one process can time well.
	mostRate = 2000
)

// Options say what is sent.
type Options struct {
	// Target is the URL of /vote, of web or of voting.
	Target string
	// Results are URLs of voting, in every cluster that counts.
	Results []string
	// Rate is votes in a second, FreshShare the share of them that go over new connections all the way.
	Rate, FreshShare float64
	Timeout          time.Duration
	Choices          []string
}

// Bind adds a flag for each field.
func (o *Options) Bind(fs *pflag.FlagSet) {
	fs.StringVar(&o.Target, "target", "http://web-svc:8080/vote", "URL to send votes to: /vote of web, or of voting")
	fs.StringSliceVar(&o.Results, "results", nil,
		"URLs of voting, such as http://voting-svc:8080, in every cluster that counts; /votes asks them what was counted")
	fs.Float64Var(&o.Rate, "rate", 20, "votes in a second")
	fs.Float64Var(&o.FreshShare, "fresh", 0.5, "share of the votes, from 0 to 1, that go over new connections, from here to web and from web to its backends")
	fs.DurationVar(&o.Timeout, "timeout", 5*time.Second, "how long an answer may take")
	fs.StringSliceVar(&o.Choices, "choices", []string{"joy", "ghost", "rocket"}, "what to vote for, in turn")
}

// Validate names the field that is wrong.
func (o Options) Validate() error {
	for _, text := range slices.Concat([]string{o.Target}, o.Results) {
		if u, err := url.Parse(text); err != nil || u.Scheme != "http" || u.Host == "" {
			return fmt.Errorf("--target or --results has %q, must be a URL such as http://web-svc:8080/vote", text)
		}
	}
	switch {
	case !(o.Rate > 0 && o.Rate <= mostRate):
		return fmt.Errorf("--rate is %v, must be more than 0 and at most %d", o.Rate, mostRate)
	case !(o.FreshShare >= 0 && o.FreshShare <= 1):
		return fmt.Errorf("--fresh is %v, must be from 0 to 1", o.FreshShare)
	case o.Timeout <= 0:
		return errors.New("--timeout is not more than zero: give a time such as 5s")
	}
	return o.validateChoices()
}

func (o Options) validateChoices() error {
	if len(o.Choices) == 0 || slices.Contains(o.Choices, "") {
		return errors.New("--choices is empty, or has an empty one: give such as joy,ghost")
	}
	return nil
}

// Sender sends votes.
type Sender struct {
	options     Options
	meter       *Meter
	kept, fresh *http.Client
	// room has an entry for each vote on its way.
	room chan struct{}
}

// NewSender makes one that records in a meter.
func NewSender(o Options, m *Meter) *Sender {
	client := func(fresh bool) *http.Client {
		return &http.Client{
			Transport: &http.Transport{DisableKeepAlives: fresh, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute},
			// A redirect would send the vote twice.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return &Sender{options: o, meter: m, kept: client(false), fresh: client(true), room: make(chan struct{}, mostAtATime)}
}

// Run sends until the context ends, and waits for what is on its way.
func (s *Sender) Run(ctx context.Context) {
	defer s.kept.CloseIdleConnections()
	var onTheirWay sync.WaitGroup
	defer onTheirWay.Wait()
	interval := time.Duration(float64(time.Second) / s.options.Rate)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for started, sent := time.Now(), 0; ; {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			// A ticker drops what nobody was there for; what is due is due.
			for ; sent < int(now.Sub(started)/interval); sent++ {
				s.dispatch(ctx, &onTheirWay)
			}
		}
	}
}

// dispatch sends one vote, or records that there is no room for it.
func (s *Sender) dispatch(ctx context.Context, onTheirWay *sync.WaitGroup) {
	run, number := s.meter.begin()
	sample := Sample{Number: number, Due: time.Now(), Fresh: s.isFresh(number)}
	select {
	case s.room <- struct{}{}:
	default:
		sample.End, sample.Failure = sample.Due, overload
		s.meter.end(run, sample)
		return
	}
	onTheirWay.Go(func() {
		defer func() { <-s.room }()
		// Votes outlive the end of the sender, up to their own time: their answers are counted.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.Timeout)
		defer cancel()
		s.vote(ctx, run, &sample)
		sample.End = time.Now()
		s.meter.end(run, sample)
	})
}

// isFresh spreads those with new connections evenly.
func (s *Sender) isFresh(number int) bool {
	return int(float64(number+1)*s.options.FreshShare) > int(float64(number)*s.options.FreshShare)
}

// vote sends one, and fills in what became of it.
func (s *Sender) vote(ctx context.Context, run string, sample *Sample) {
	id, choice := ID(run, sample.Number), s.options.Choices[sample.Number%len(s.options.Choices)]
	query := url.Values{"id": {id}, "choice": {choice}}
	// POST, because net/http sends a GET again when a kept connection ends under it.
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.options.Target+"?"+query.Encode(), http.NoBody)
	if err != nil {
		sample.Failure = origin.Other
		return
	}
	client := s.kept
	if sample.Fresh {
		client = s.fresh
		request.Header.Set(origin.Connection, origin.Fresh)
	}
	response, err := client.Do(request)
	if err != nil {
		sample.Failure = origin.Failure(err)
		return
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		sample.Failure = origin.Failure(err)
		return
	}
	if sample.Failure = judge(response, text, id); sample.Failure == "" {
		by := origin.Of(response.Header)
		sample.Cluster, sample.Pod, sample.Epoch = by.Cluster, by.Pod, response.Header.Get(origin.Epoch)
	}
}

// judge is what is wrong with an answer.
func judge(response *http.Response, text []byte, id string) string {
	if response.StatusCode != http.StatusOK {
		failed := response.Header.Get(origin.Failed)
		if failed == "" {
			failed = "web"
		}
		return fmt.Sprintf("%d %s", response.StatusCode, failed)
	}
	var cast vote.Cast
	if err := json.Unmarshal(text, &cast); err != nil || cast.ID != id {
		return wrong
	}
	return ""
}
