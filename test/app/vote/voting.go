package vote

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"github.com/linkspan/linkspan/test/app/origin"
)

// Cast is what voting answers.
type Cast struct {
	ID     string `json:"id"`
	Choice string `json:"choice"`
	// Received is how often this vote has come, as far as this instance knows. It counts once.
	Received int `json:"received"`
}

// mostToLearn is how much of what another instance says is read, in bytes.
const mostToLearn = 64 << 20

// VotingHandler is the backend voting: /vote?id=…&choice=… counts a vote, GET /results tells what they come to, with
// ?ids=prefix also how often each of them came. Without other instances peers is nil.
func VotingHandler(box *Box, peers *Peers) http.Handler {
	mux := http.NewServeMux()
	cast := func(w http.ResponseWriter, r *http.Request) {
		id, choice := r.URL.Query().Get("id"), r.URL.Query().Get("choice")
		if id == "" || choice == "" {
			http.Error(w, "id or choice is missing: ask for /vote?id=…&choice=…", http.StatusBadRequest)
			return
		}
		ledger, received := box.Cast(id, choice)
		if peers != nil {
			peers.Tell(r.Context(), ledger)
		}
		w.Header().Set(origin.Epoch, ledger.Epoch)
		reply(w, Cast{ID: id, Choice: choice, Received: received})
	}
	mux.HandleFunc("GET /vote", cast)
	mux.HandleFunc("POST /vote", cast)
	mux.HandleFunc("GET /results", func(w http.ResponseWriter, r *http.Request) {
		reply(w, box.Results(r.URL.Query().Get("ids")))
	})
	mux.HandleFunc("GET "+peerPath, func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		since, err := strconv.Atoi(query.Get("since"))
		if err != nil {
			http.Error(w, "since is no number: "+err.Error(), http.StatusBadRequest)
			return
		}
		// It is told from now on, so that nothing lies between what it hears now and what it is told.
		if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil && peers != nil && query.Get("port") != "" {
			peers.meet(query.Get("instance"), net.JoinHostPort(host, query.Get("port")))
		}
		reply(w, box.Since(since))
	})
	mux.HandleFunc("POST "+peerPath, func(w http.ResponseWriter, r *http.Request) {
		var ledger Ledger
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostToLearn)).Decode(&ledger); err != nil {
			http.Error(w, "these are no votes: "+err.Error(), http.StatusBadRequest)
			return
		}
		box.Merge(ledger)
	})
	return mux
}

// Count asks the backend voting at a URL for its results, and how often each vote came whose ID begins with a prefix.
func Count(ctx context.Context, at, prefix string) (r Results, err error) {
	query := url.Values{"ids": {prefix}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"/results?"+query.Encode(), http.NoBody)
	if err != nil {
		return r, fmt.Errorf("asking %s for results: %w", at, err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	_, err = talk(client, request, &r)
	return r, err
}
