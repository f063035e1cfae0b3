package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/linkspan/linkspan/internal/check"
)

// Codes that colour a terminal's text.
const (
	colourOff    = "\x1b[0m"
	colourGreen  = "\x1b[32;1m"
	colourYellow = "\x1b[33;1m"
	colourRed    = "\x1b[31;1m"
	// startOfLine clears the line, too.
	startOfLine = "\r\x1b[K"
)

// isTerminal says whether a person looks at what is written, and wants more than plain text.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// printReport writes a report in a format that was validated. No format holds more than a person reads: programs
// hand on to people what they read here.
func printReport(streams Streams, format string, report check.Report) error {
	report = report.Bounded()
	if format == formatJSON {
		return printJSON(streams, jsonReport(report))
	}
	style := checkStyle{short: format == formatShort, marks: [3]string{"√", "‼", "×"}}
	if format == formatBasic {
		style.marks = [3]string{"[ok]", "[warning]", "[error]"}
	} else if isTerminal(streams.Out) && os.Getenv("NO_COLOR") == "" {
		for i, colour := range []string{colourGreen, colourYellow, colourRed} {
			style.marks[i] = colour + style.marks[i] + colourOff
		}
	}
	if _, err := streams.Out.Write(style.render(report)); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// checkStyle is how a report looks as text.
type checkStyle struct {
	// short leaves out what is well.
	short bool
	// marks are by level.
	marks [3]string
}

func (s checkStyle) render(report check.Report) []byte {
	var out bytes.Buffer
	var section check.Section
	for _, r := range report {
		if s.short && r.Level == check.OK {
			continue
		}
		if r.Section != section {
			if section != "" {
				out.WriteByte('\n')
			}
			section = r.Section
			fmt.Fprintf(&out, "%s\n%s\n", section, strings.Repeat("-", utf8.RuneCountInString(string(section))))
		}
		fmt.Fprintf(&out, "%s %s\n", s.marks[r.Level], oneLine(r.Text))
		if r.Level == check.OK {
			continue
		}
		for _, line := range []string{oneLine(r.Cause), oneLine(r.Mend), "see " + r.Hint + " for hints"} {
			fmt.Fprintf(&out, "    %s\n", line)
		}
	}
	if section != "" {
		out.WriteByte('\n')
	}
	level := check.OK
	if !report.Success() {
		level = check.Error
	}
	fmt.Fprintf(&out, "Status check results are %s\n", s.marks[level])
	return out.Bytes()
}

// oneLine keeps what others wrote, such as a target, from looking like something else on a terminal.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text, string(utf8.RuneError)))
}

// The shape that `linkerd check` reads from extensions (CHK-5). It must stay.
type (
	reportJSON struct {
		Success    bool           `json:"success"`
		Categories []categoryJSON `json:"categories"`
	}
	categoryJSON struct {
		Name   string       `json:"categoryName"`
		Checks []resultJSON `json:"checks"`
	}
	resultJSON struct {
		Description string `json:"description"`
		Hint        string `json:"hint,omitempty"`
		Error       string `json:"error,omitempty"`
		Result      string `json:"result"`
	}
)

func jsonReport(report check.Report) reportJSON {
	out := reportJSON{Success: report.Success(), Categories: []categoryJSON{}}
	for _, r := range report {
		last := len(out.Categories) - 1
		if last < 0 || out.Categories[last].Name != string(r.Section) {
			out.Categories = append(out.Categories, categoryJSON{Name: string(r.Section)})
			last++
		}
		one := resultJSON{Description: oneLine(r.Text), Result: [3]string{"success", "warning", "error"}[r.Level]}
		if r.Level != check.OK {
			// One line, because `linkerd check` indents no more than one.
			one.Hint, one.Error = r.Hint, oneLine(r.Cause+"; "+r.Mend)
		}
		out.Categories[last].Checks = append(out.Categories[last].Checks, one)
	}
	return out
}

// progress tells a person what is waited for.
type progress struct{ to io.Writer }

func newProgress(streams Streams) progress {
	if isTerminal(streams.Err) {
		return progress{to: streams.Err}
	}
	return progress{to: io.Discard}
}

func (p progress) show(report check.Report) {
	for _, r := range report {
		if r.Level == check.Error {
			// Progress that cannot be shown must not fail the command.
			_, _ = fmt.Fprintf(p.to, "%swaiting until %s", startOfLine, oneLine(r.Text))
			return
		}
	}
}

func (p progress) clear() { _, _ = io.WriteString(p.to, startOfLine) }
