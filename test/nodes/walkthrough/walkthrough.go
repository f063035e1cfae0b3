package walkthrough

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Block is a piece of a document that is to be run.
type Block struct {
	// Heading is the last one above it.
	Heading string
	// Line is where it begins.
	Line int
	// Script is what the shell gets.
	Script string
}

// Page is where the walkthrough is, in the checkout.
const Page = "docs/walkthrough.md"

// Headings of parts that programs want by themselves.
const (
	// Certificates is of the part that makes the namespace, with certificates.
	Certificates = "2. Certificates"
	// CleanUp is of the part that takes everything away again.
	CleanUp = "8. Leave nothing behind"
)

// folder is what the page makes in the checkout, where a user may have one with keys that are in use.
const folder = "walkthrough/certs"

// Read gives the blocks of the walkthrough, in their order. What they write goes into another folder than the page says, which
// must not be there yet.
func Read(checkout, instead string) ([]Block, error) {
	document, err := os.ReadFile(filepath.Join(checkout, Page))
	if err != nil {
		return nil, fmt.Errorf("read the walkthrough: %w", err)
	}
	blocks, err := Blocks(string(document))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Page, err)
	}
	if !strings.Contains(string(document), folder) {
		return nil, fmt.Errorf("%s says nothing of %s: where else does it write to?", Page, folder)
	}
	for i := range blocks {
		blocks[i].Script = strings.ReplaceAll(blocks[i].Script, folder, instead)
	}
	return blocks, nil
}

// Under are the blocks below a heading.
func Under(blocks []Block, heading string) ([]Block, error) {
	first, err := find(blocks, heading)
	if err != nil {
		return nil, err
	}
	rest := blocks[first:]
	if end := slices.IndexFunc(rest, func(b Block) bool { return b.Heading != heading }); end >= 0 {
		rest = rest[:end]
	}
	return rest, nil
}

// Before are the blocks above a heading.
func Before(blocks []Block, heading string) ([]Block, error) {
	first, err := find(blocks, heading)
	return blocks[:first], err
}

func find(blocks []Block, heading string) (int, error) {
	first := slices.IndexFunc(blocks, func(b Block) bool { return b.Heading == heading })
	if first < 0 {
		return 0, fmt.Errorf("%s has no commands under %q: if its heading was renamed, so must be the one in package walkthrough", Page, heading)
	}
	return first, nil
}

// Blocks finds the blocks of a document in Markdown that are marked as sh. Others, such as console and text, are for
// reading only.
func Blocks(document string) ([]Block, error) {
	const fence = "```"
	var all []Block
	var heading, mark string
	var open *Block
	for i, line := range strings.Split(document, "\n") {
		switch {
		case mark != "" && line == fence:
			if open != nil {
				all = append(all, *open)
			}
			mark, open = "", nil
		case open != nil:
			open.Script += line + "\n"
		case mark != "": // within a block that is not run
		case strings.HasPrefix(line, fence):
			if mark = line; mark == fence+"sh" {
				open = &Block{Heading: heading, Line: i + 1}
			}
		case strings.HasPrefix(line, "#"):
			heading = strings.TrimLeft(line, "# ")
		}
	}
	if mark != "" {
		return nil, fmt.Errorf("a block under %q does not end: add %s", heading, fence)
	}
	return all, nil
}
