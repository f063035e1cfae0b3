package vote

import (
	"bytes"
	"html/template"
	"net/http"
)

const pageText = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Vote</title>
<h1>Vote for an emoji</h1>
<ul>
{{- range .Emojis}}
<li><a href="/vote?choice={{.Code}}">{{.Sign}} {{.Code}}</a>: {{index $.Results.Choices .Code}}</li>
{{- end}}
</ul>
<p>{{.Results.Total}} votes, counted by {{.Results.Instance}}.</p>
</html>
`

// page shows what can be voted for, and what the votes come to.
func (web *Web) page(w http.ResponseWriter, r *http.Request) {
	var shown struct {
		Emojis  []Emoji
		Results Results
	}
	if _, err := web.ask(r, http.MethodGet, web.options.Emoji+"/emojis", &shown.Emojis); err != nil {
		fail(w, "emoji", err)
		return
	}
	if _, err := web.ask(r, http.MethodGet, web.options.Voting+"/results", &shown.Results); err != nil {
		fail(w, "voting", err)
		return
	}
	text, err := template.New("page").Parse(pageText)
	var out bytes.Buffer
	if err == nil {
		err = text.Execute(&out, shown)
	}
	if err != nil {
		http.Error(w, "making the page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = out.WriteTo(w) // who does not wait for it has gone
}
