// Package table prints rows in aligned columns. It owns spacing only: it must never know what the
// cells mean. A Table belongs to one goroutine.
package table

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Table collects rows under a header.
type Table struct {
	rows [][]string
}

// New makes a table with these column heads.
func New(heads ...string) *Table { return &Table{rows: [][]string{heads}} }

// Row adds a row. Missing cells are blank.
func (t *Table) Row(cells ...string) { t.rows = append(t.rows, cells) }

// Render writes the table, columns two spaces apart and without spaces at line ends.
func (t *Table) Render(w io.Writer) error {
	var text strings.Builder
	writer := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range t.rows {
		cells := make([]string, len(t.rows[0]))
		copy(cells, row)
		for i, cell := range cells {
			cells[i] = oneLine(cell)
		}
		if _, err := fmt.Fprintln(writer, strings.Join(cells, "\t")); err != nil {
			return fmt.Errorf("writing a row: %w", err)
		}
	}
	if err := writer.Flush(); err != nil {
		return fmt.Errorf("aligning the table: %w", err)
	}
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return fmt.Errorf("writing the table: %w", err)
		}
	}
	return nil
}

// oneLine keeps a cell from breaking the table apart.
func oneLine(cell string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, cell)
}
