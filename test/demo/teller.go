package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

// Colours, as SGR parameters.
const (
	bold  = "1"
	dim   = "2"
	red   = "1;31"
	green = "32"
	cyan  = "36"
)

const (
	// width is how long lines may be.
	width  = 100
	indent = "   "
)

// teller prints the story.
type teller struct {
	w      io.Writer
	colour bool
}

// newTeller uses colours where a person looks at a terminal that has them.
func newTeller(file *os.File) *teller {
	info, err := file.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &teller{w: file, colour: terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// title opens a step.
func (t *teller) title(number int, text string) {
	t.gap()
	t.lines(bold, fmt.Sprintf("%2d ", number), text)
}

// headline opens or closes the story.
func (t *teller) headline(format string, args ...any) {
	t.lines(bold, "", fmt.Sprintf(format, args...))
}

func (t *teller) gap() { fmt.Fprintln(t.w) }

// say is a sentence of the story.
func (t *teller) say(text string) { t.lines("", indent, text) }

// ok is a sentence that was checked.
func (t *teller) ok(format string, args ...any) {
	t.lines(green, indent+"ok ", fmt.Sprintf(format, args...))
}

// failed is what was expected and not found.
func (t *teller) failed(err error) {
	first, rest, _ := strings.Cut(err.Error(), "\n")
	t.lines(red, indent+"FAILED ", first)
	if rest != "" {
		fmt.Fprintln(t.w, rest)
	}
}

// command is something that is run, as one would type it; it is never wrapped, so that it can be copied.
func (t *teller) command(text string) { fmt.Fprintln(t.w, indent+t.paint(cyan, "$ "+text)) }

// longCommand is a command that may take several lines, and can be copied all the same.
func (t *teller) longCommand(text string) {
	const begin, more, further = "$ ", " \\", "    "
	line := begin
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			line += word
		case len(indent)+len(line)+1+len(word)+len(more) > width:
			fmt.Fprintln(t.w, indent+t.paint(cyan, line+more))
			line = further + word
		default:
			line += " " + word
		}
	}
	fmt.Fprintln(t.w, indent+t.paint(cyan, line))
}

// output is what a command printed, never wrapped either.
func (t *teller) output(text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintln(t.w, indent+t.paint(dim, strings.TrimRight(line, " \n")))
	}
}

// notes are what a command explained.
func (t *teller) notes(text string) {
	for line := range strings.Lines(text) {
		t.lines(dim, indent+"# ", strings.TrimSpace(line))
	}
}

// table aligns columns.
func (t *teller) table(rows [][]string) {
	var text strings.Builder
	writer := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(writer, strings.Join(row, "\t"))
	}
	// A Builder takes every write.
	_ = writer.Flush()
	for line := range strings.Lines(text.String()) {
		fmt.Fprintln(t.w, indent+strings.TrimRight(line, " \n"))
	}
}

// lines wraps text between words. Later lines are indented as the first one's prefix is long.
func (t *teller) lines(colour, prefix, text string) {
	line := prefix
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			line += word
		case len(line)+1+len(word) > width:
			fmt.Fprintln(t.w, t.paint(colour, line))
			line = strings.Repeat(" ", len(prefix)) + word
		default:
			line += " " + word
		}
	}
	fmt.Fprintln(t.w, t.paint(colour, line))
}

func (t *teller) paint(colour, text string) string {
	if !t.colour || colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
