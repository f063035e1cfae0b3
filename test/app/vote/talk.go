package vote

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// mostOfAnError is how much of an answer that is an error is told.
const mostOfAnError = 200

// refusal is an answer that is none of those wanted.
type refusal struct {
	status int
	text   string
}

// Error implements error.
func (r refusal) Error() string { return fmt.Sprintf("answered %d %q", r.status, r.text) }

// talk sends a request and reads its answer, to the end, and gives its header. The rest is not of interest when hear is
// nil.
func talk(client *http.Client, request *http.Request, hear any) (http.Header, error) {
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", request.URL.Host, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, mostOfAnError)) // what can be had of it
		return nil, fmt.Errorf("asking %s: %w", request.URL.Host, refusal{response.StatusCode, string(text)})
	}
	if hear == nil {
		hear = new(json.RawMessage)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("reading what %s answers: %w", request.URL.Host, err)
	}
	if len(text) == 0 {
		return response.Header, nil
	}
	if err := json.Unmarshal(text, hear); err != nil {
		return nil, fmt.Errorf("reading what %s answers: %w", request.URL.Host, err)
	}
	return response.Header, nil
}

// reply writes an answer. Who does not wait for it has gone, and counts that himself.
func reply(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}
