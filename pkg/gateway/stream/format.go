package stream

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// Most bytes that a line repeats of one text. Names of DNS have at most 253; a target has two of them
// and a port.
const (
	maxText  = 253
	maxError = 512
)

// timestamps have a fixed width, so that columns stay under one another.
const timeFormat = "2006-01-02T15:04:05.000000Z"

// appendLine adds a record's line, with its end.
func (o LogOptions) appendLine(b []byte, r *Record) []byte {
	if o.Format == FormatJSON {
		return append(appendJSON(b, r), '\n')
	}
	return append(appendText(b, r), '\n')
}

// appendText makes a line that begins as those of Linkerd's proxies do in their Apache format. What
// stands where is a promise: new columns come last.
func appendText(b []byte, r *Record) []byte {
	b = appendColumn(b, r.Peer)
	b = appendColumn(append(b, ' '), r.Client)
	b = append(b, " - ["...)
	b = r.Start.UTC().AppendFormat(b, timeFormat)
	b = append(b, `] "`...)
	b = appendColumn(b, r.Protocol)
	b = appendColumn(append(b, ' '), r.Target)
	b = appendColumn(append(b, ' '), r.Via)
	b = append(b, '"')
	b = appendColumn(append(b, ' '), string(r.Result))
	b = appendColumn(append(b, ' '), r.Reason)
	b = strconv.AppendInt(append(b, ' '), r.Sent, 10)
	b = strconv.AppendInt(append(b, ' '), r.Received, 10)
	for _, d := range [...]time.Duration{r.Connect, r.FirstByte, r.Duration} {
		b = append(b, ' ')
		if d <= 0 {
			b = append(b, '-')
			continue
		}
		b = appendSeconds(b, d)
	}
	b = appendColumn(append(b, ' '), r.Cluster)
	b = append(b, ' ')
	if r.Err == nil {
		return append(b, '-')
	}
	return appendQuoted(b, r.Err.Error(), maxError)
}

// appendJSON makes one object. Its keys, their order and their units are a promise; those without a
// value are left out.
func appendJSON(b []byte, r *Record) []byte {
	b = append(b, `{"timestamp":"`...)
	b = r.Start.UTC().AppendFormat(b, timeFormat)
	b = append(b, '"')
	for _, f := range [...]struct{ key, value string }{
		{"side", string(r.Side)}, {"client", r.Client}, {"peer", r.Peer}, {"cluster", r.Cluster}, {"target", r.Target},
		{"protocol", r.Protocol}, {"via", r.Via}, {"result", string(r.Result)}, {"reason", r.Reason},
	} {
		if f.value != "" {
			b = appendQuoted(appendKey(b, f.key), f.value, maxText)
		}
	}
	b = strconv.AppendInt(appendKey(b, "sent_bytes"), r.Sent, 10)
	b = strconv.AppendInt(appendKey(b, "received_bytes"), r.Received, 10)
	for _, f := range [...]struct {
		key   string
		value time.Duration
	}{
		{"connect_seconds", r.Connect}, {"first_byte_seconds", r.FirstByte}, {"duration_seconds", r.Duration},
	} {
		if f.value > 0 {
			b = appendSeconds(appendKey(b, f.key), f.value)
		}
	}
	if r.Err != nil {
		b = appendQuoted(appendKey(b, "error"), r.Err.Error(), maxError)
	}
	return append(b, '}')
}

func appendKey(b []byte, key string) []byte {
	b = append(b, `,"`...)
	b = append(b, key...)
	return append(b, `":`...)
}

func appendSeconds(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, d.Seconds(), 'f', 6, 64)
}

// appendColumn adds text that stands between blanks: it has none itself, and no quotes.
func appendColumn(b []byte, s string) []byte {
	if s == "" {
		return append(b, '-')
	}
	return appendClean(b, s, maxText, func(b []byte, r rune) []byte {
		if r == ' ' || r == '"' {
			r = '?'
		}
		return utf8.AppendRune(b, r)
	})
}

// appendQuoted adds text between quotes, as JSON has it.
func appendQuoted(b []byte, s string, most int) []byte {
	b = append(b, '"')
	b = appendClean(b, s, most, func(b []byte, r rune) []byte {
		if r == '"' || r == '\\' {
			b = append(b, '\\')
		}
		return utf8.AppendRune(b, r)
	})
	return append(b, '"')
}

// Text is text for the log, such as an error, in which others may have a say: see appendClean.
func Text(s string) string { return clean(s, maxError) }

// clean is text for the log: bounded, and without characters that do more than show themselves.
func clean(s string, most int) string {
	return string(appendClean(nil, s, most, utf8.AppendRune))
}

// appendClean adds at most so many bytes of a text, then an ellipsis. Control characters, those that turn
// the direction of writing, and bytes that are no UTF-8 become question marks: nothing that comes
// from another cluster may end a line, colour a terminal, or pretend to be another line.
func appendClean(b []byte, s string, most int, add func([]byte, rune) []byte) []byte {
	cut := len(s) > most
	if cut {
		for most > 0 && !utf8.RuneStart(s[most]) {
			most--
		}
		s = s[:most]
	}
	for _, r := range s {
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			r = '?'
		}
		b = add(b, r)
	}
	if cut {
		b = append(b, "…"...)
	}
	return b
}
