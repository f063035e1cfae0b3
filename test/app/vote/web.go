package vote

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/pflag"

	"github.com/linkspan/linkspan/test/app/origin"
)

// WebOptions say where the backends are.
type WebOptions struct {
	Emoji, Voting string
	// Timeout is for each request to one of them.
	Timeout time.Duration
}

// Bind adds a flag for each field.
func (o *WebOptions) Bind(fs *pflag.FlagSet) {
	fs.StringVar(&o.Emoji, "emoji", "http://emoji-svc:8080", "URL of the backend emoji")
	fs.StringVar(&o.Voting, "voting", "http://voting-svc:8080", "URL of the backend voting")
	fs.DurationVar(&o.Timeout, "timeout", 2*time.Second, "how long a backend may take to answer")
}

// Validate names the field that is wrong.
func (o WebOptions) Validate() error {
	for flag, text := range map[string]string{"emoji": o.Emoji, "voting": o.Voting} {
		if u, err := url.Parse(text); err != nil || u.Scheme != "http" || u.Host == "" {
			return fmt.Errorf("--%s is %q, must be a URL such as http://%s-svc:8080", flag, text, flag)
		}
	}
	if o.Timeout <= 0 {
		return errors.New("--timeout is not more than zero: give a time such as 2s")
	}
	return nil
}

// Web is the front.
type Web struct {
	options WebOptions
	// kept keeps connections to backends for the next request, fresh makes a new one for each.
	kept, fresh *http.Client
}

// NewWeb makes the front. Close it when no request can come any more.
func NewWeb(o WebOptions) *Web {
	client := func(fresh bool) *http.Client {
		return &http.Client{Transport: &http.Transport{DisableKeepAlives: fresh, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute}}
	}
	return &Web{options: o, kept: client(false), fresh: client(true)}
}

// Close ends the connections that are kept.
func (web *Web) Close() { web.kept.CloseIdleConnections() }

// Handler serves the page at /, and /vote?choice=….
func (web *Web) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", web.page)
	mux.HandleFunc("GET /vote", web.vote)
	mux.HandleFunc("POST /vote", web.vote)
	return mux
}

// Voted is what web answers.
type Voted struct {
	Cast

	Emoji  string          `json:"emoji"`
	Looked origin.Identity `json:"emojiBy"`
	By     origin.Identity `json:"votingBy"`
}

func (web *Web) vote(w http.ResponseWriter, r *http.Request) {
	id, choice := r.URL.Query().Get("id"), r.URL.Query().Get("choice")
	if choice == "" {
		http.Error(w, "choice is missing: ask for /vote?choice=joy; the page at / lists what there is", http.StatusBadRequest)
		return
	}
	if id == "" {
		id = rand.Text()
	}
	var answer Voted
	var emoji Emoji
	looked, err := web.ask(r, http.MethodGet, web.options.Emoji+"/emojis/"+url.PathEscape(choice), &emoji)
	if refused, ok := errors.AsType[refusal](err); ok && refused.status == http.StatusNotFound {
		http.Error(w, refused.text, http.StatusNotFound)
		return
	}
	if err != nil {
		fail(w, "emoji", err)
		return
	}
	query := url.Values{"id": {id}, "choice": {choice}}
	voted, err := web.ask(r, http.MethodPost, web.options.Voting+"/vote?"+query.Encode(), &answer.Cast)
	if err != nil {
		fail(w, "voting", err)
		return
	}
	answer.Emoji, answer.Looked, answer.By = emoji.Sign, origin.Of(looked), origin.Of(voted)
	h := w.Header()
	h.Set(origin.EmojiCluster, answer.Looked.Cluster)
	h.Set(origin.EmojiPod, answer.Looked.Pod)
	h.Set(origin.VotingCluster, answer.By.Cluster)
	h.Set(origin.VotingPod, answer.By.Pod)
	h.Set(origin.Epoch, voted.Get(origin.Epoch))
	reply(w, answer)
}

// ask sends one request to a backend, on a new connection if the caller wants that. It gives the header of the answer.
func (web *Web) ask(from *http.Request, method, to string, hear any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(from.Context(), web.options.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, to, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("asking a backend: %w", err)
	}
	client := web.kept
	if from.Header.Get(origin.Connection) == origin.Fresh {
		client = web.fresh
	}
	return talk(client, request, hear)
}

// fail answers for a backend that did not.
func fail(w http.ResponseWriter, backend string, err error) {
	kind, status := origin.Failure(err), http.StatusBadGateway
	if refused, ok := errors.AsType[refusal](err); ok {
		kind = fmt.Sprintf("status %d", refused.status)
	}
	if kind == origin.Timeout {
		status = http.StatusGatewayTimeout
	}
	w.Header().Set(origin.Failed, backend+" "+kind)
	http.Error(w, backend+" does not answer: "+err.Error(), status)
}
