package vote

import "net/http"

// Emoji is what can be voted for.
type Emoji struct {
	// Code is what it is called in requests.
	Code string `json:"code"`
	Sign string `json:"sign"`
}

// all are those that there are, in the order of the page.
func all() []Emoji {
	return []Emoji{
		{"ghost", "👻"}, {"joy", "😂"}, {"rocket", "🚀"}, {"sunglasses", "😎"}, {"tada", "🎉"}, {"beers", "🍻"},
		{"whale", "🐳"}, {"octopus", "🐙"}, {"pizza", "🍕"}, {"snail", "🐌"}, {"cactus", "🌵"}, {"bridge", "🌉"},
	}
}

// EmojiHandler is the backend emoji: GET /emojis lists all, GET /emojis/{code} is one of them.
func EmojiHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /emojis", func(w http.ResponseWriter, _ *http.Request) { reply(w, all()) })
	mux.HandleFunc("GET /emojis/{code}", func(w http.ResponseWriter, r *http.Request) {
		for _, e := range all() {
			if e.Code == r.PathValue("code") {
				reply(w, e)
				return
			}
		}
		http.Error(w, "there is no emoji "+r.PathValue("code"), http.StatusNotFound)
	})
	return mux
}
