package traffic

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/linkspan/linkspan/test/app/vote"
)

// Handler serves GET /report, GET /votes, GET /mark?name=… and POST /reset.
func Handler(o Options, m *Meter) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, _ *http.Request) { reply(w, Compute(m.recorded())) })
	mux.HandleFunc("GET /votes", func(w http.ResponseWriter, r *http.Request) {
		votes, err := account(r.Context(), o, m)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		reply(w, votes)
	})
	mark := func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("name")
		if name == "" {
			http.Error(w, "name is missing: ask for /mark?name=…", http.StatusBadRequest)
			return
		}
		m.Mark(name)
	}
	mux.HandleFunc("GET /mark", mark)
	mux.HandleFunc("POST /mark", mark)
	mux.HandleFunc("POST /reset", func(http.ResponseWriter, *http.Request) { m.Reset() })
	return mux
}

// account asks everybody who counts.
func account(ctx context.Context, o Options, m *Meter) (Votes, error) {
	if len(o.Results) == 0 {
		return Votes{}, errors.New("nobody counts: give --results, such as http://voting-svc:8080")
	}
	before := m.recorded()
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	var counts []vote.Results
	for _, at := range o.Results {
		count, err := vote.Count(ctx, at, before.Run+"-")
		if err != nil {
			return Votes{}, err
		}
		counts = append(counts, count)
	}
	run, sent := m.sent()
	if run != before.Run {
		return Votes{}, errors.New("the run was reset while asking: ask again")
	}
	return Account(run, sent, before.Samples, counts), nil
}

// reply writes an answer. Who does not wait for it has gone.
func reply(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(answer)
}
