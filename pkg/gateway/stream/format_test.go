package stream

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var start = time.Date(2026, 11, 21, 8, 30, 0, 120_000_000, time.FixedZone("", 3600))

// full has a value for everything.
func full() Record {
	return Record{
		Side: Egress, Start: start, Client: "10.42.0.7:51160", Peer: "203.0.113.7:4143", Cluster: "east",
		Target: "shop/web:80", Protocol: Opaque, Via: ViaLane, Result: Aborted, Reason: ReasonReset,
		Err:  errors.New(`reading from the server: "reset"`),
		Sent: 120, Received: 4567, Connect: 812 * time.Microsecond, FirstByte: 2101 * time.Microsecond, Duration: 12500 * time.Millisecond,
	}
}

// LOG-6: each line is read by programs, so every case is spelled out.
func TestAccessLogLines(t *testing.T) {
	t.Parallel()
	const identity = "web.shop.serviceaccount.identity.linkerd.cluster.local"
	for name, c := range map[string]struct {
		record     Record
		text, json string
	}{
		"a stream with everything": {
			record: full(),
			text:   `203.0.113.7:4143 10.42.0.7:51160 - [2026-11-21T07:30:00.120000Z] "opaque shop/web:80 lane" aborted reset 120 4567 0.000812 0.002101 12.500000 east "reading from the server: \"reset\""`,
			json: `{"timestamp":"2026-11-21T07:30:00.120000Z","side":"egress","client":"10.42.0.7:51160","peer":"203.0.113.7:4143","cluster":"east",` +
				`"target":"shop/web:80","protocol":"opaque","via":"lane","result":"aborted","reason":"reset","sent_bytes":120,"received_bytes":4567,` +
				`"connect_seconds":0.000812,"first_byte_seconds":0.002101,"duration_seconds":12.500000,"error":"reading from the server: \"reset\""}`,
		},
		"a denial, which never connected": {
			record: Record{
				Side: Ingress, Start: start, Client: identity, Peer: "[2001:db8::7]:40112", Target: "shop/db:5432", Protocol: HTTP2, Via: ViaTLS,
				Result: Denied, Reason: ReasonExportNotAllowed, Duration: time.Millisecond,
			},
			text: `[2001:db8::7]:40112 ` + identity + ` - [2026-11-21T07:30:00.120000Z] "http2 shop/db:5432 tls" denied export_not_allowed 0 0 - - 0.001000 - -`,
			json: `{"timestamp":"2026-11-21T07:30:00.120000Z","side":"ingress","client":"` + identity + `","peer":"[2001:db8::7]:40112",` +
				`"target":"shop/db:5432","protocol":"http2","via":"tls","result":"denied","reason":"export_not_allowed","sent_bytes":0,"received_bytes":0,"duration_seconds":0.001000}`,
		},
		"a stream of which nothing is known": {
			record: Record{Side: Ingress, Start: start, Result: Failed},
			text:   `- - - [2026-11-21T07:30:00.120000Z] "- - -" failed - 0 0 - - - - -`,
			json:   `{"timestamp":"2026-11-21T07:30:00.120000Z","side":"ingress","result":"failed","sent_bytes":0,"received_bytes":0}`,
		},
		"text that would forge a line or a column": {
			record: Record{
				Side: Ingress, Start: start, Client: "a b\"c\nd\x1b[31m", Peer: "1.2.3.4:5 done", Target: "shop/\u202eweb:80\xff", Protocol: Opaque, Via: ViaMux,
				Result: Failed, Reason: "read", Err: errors.New("line\r\nnext\x00\\ \u2028 \"x\""),
			},
			text: `1.2.3.4:5?done a?b?c?d?[31m - [2026-11-21T07:30:00.120000Z] "opaque shop/?web:80? mux" failed read 0 0 - - - - "line??next?\\ ? \"x\""`,
			json: `{"timestamp":"2026-11-21T07:30:00.120000Z","side":"ingress","client":"a b\"c?d?[31m","peer":"1.2.3.4:5 done","target":"shop/?web:80?",` +
				`"protocol":"opaque","via":"mux","result":"failed","reason":"read","sent_bytes":0,"received_bytes":0,"error":"line??next?\\ ? \"x\""}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for format, want := range map[string]string{FormatText: c.text, FormatJSON: c.json} {
				got := string(LogOptions{Format: format}.appendLine(nil, &c.record))
				if diff := cmp.Diff(want+"\n", got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", format, diff)
				}
			}
			if !json.Valid([]byte(c.json)) {
				t.Error("the case's own JSON is none")
			}
		})
	}
}

// What is long is cut, in the middle of no character.
func TestLongTextIsCut(t *testing.T) {
	t.Parallel()
	r := full()
	r.Client, r.Err = strings.Repeat("é", 5000), errors.New(strings.Repeat("e", 5000))
	for _, format := range []string{FormatText, FormatJSON} {
		line := LogOptions{Format: format}.appendLine(nil, &r)
		if len(line) > 1200 || !utf8.Valid(line) || strings.Count(string(line), "…") != 2 || strings.Contains(string(line), "?") {
			t.Errorf("%s: %d bytes: %q", format, len(line), line)
		}
	}
}

// docs/gateway-access-log.md names every key and column: what is written is a promise.
func TestAccessLogIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/gateway-access-log.md")
	if err != nil {
		t.Fatal(err)
	}
	r := full()
	var keys map[string]any
	if err := json.Unmarshal(appendJSON(nil, &r), &keys); err != nil {
		t.Fatal(err)
	}
	for key := range keys {
		if !strings.Contains(string(page), "| `"+key+"` |") {
			t.Errorf("docs/gateway-access-log.md has no line for the key %s", key)
		}
	}
	for _, want := range []string{string(appendText(nil, &r)), string(appendJSON(nil, &r))} {
		if !strings.Contains(string(page), want) {
			t.Errorf("docs/gateway-access-log.md does not show\n%s", want)
		}
	}
}

// And every reason: somebody reads it at night.
func TestReasonsAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/gateway-access-log.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "\n## Reasons\n")
	var documented []string
	for line := range strings.Lines(table) {
		if words, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | "); ok && strings.HasPrefix(words, "`") {
			for word := range strings.SplitSeq(words, ", ") {
				documented = append(documented, strings.Trim(word, "`"))
			}
		}
	}
	slices.Sort(documented)
	if documented = slices.Compact(documented); !slices.Equal(documented, Reasons()) {
		t.Errorf("docs/gateway-access-log.md explains\n%q, want every reason and no other:\n%q", documented, Reasons())
	}
}

// Whatever a record holds, its line is one line, and its JSON is JSON.
func FuzzAccessLogLine(f *testing.F) {
	f.Add("web.shop", "shop/web:80", "reset", "gone")
	f.Add("a\nb", "\"", "\\", "\x00\u2028\xff")
	f.Fuzz(func(t *testing.T, client, target, reason, text string) {
		r := Record{Side: Ingress, Start: start, Client: client, Target: target, Result: Failed, Reason: reason, Err: errors.New(text)}
		line := LogOptions{Format: FormatJSON}.appendLine(nil, &r)
		var parsed map[string]any
		if err := json.Unmarshal(line, &parsed); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		plain := LogOptions{Format: FormatText}.appendLine(nil, &r)
		head, _, _ := strings.Cut(string(plain), ` "`)
		if columns := len(strings.Split(head, " ")); columns != 4 {
			t.Errorf("%d columns before the request in %q", columns, plain)
		}
		for _, line := range [][]byte{line, plain} {
			if strings.ContainsFunc(strings.TrimSuffix(string(line), "\n"), func(r rune) bool { return r < ' ' || r == 0x7f }) || !utf8.Valid(line) {
				t.Errorf("%q is not one printable line", line)
			}
		}
	})
}
