package walkthrough

import (
	"fmt"
	"os"
	"path/filepath"
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

// Read gives the blocks of the walkthrough, in their order.
func Read(checkout string) ([]Block, error) {
	document, err := os.ReadFile(filepath.Join(checkout, Page))
	if err != nil {
		return nil, fmt.Errorf("read the walkthrough: %w", err)
	}
	blocks, err := Blocks(string(document))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Page, err)
	}
	return blocks, nil
}

// Clean removes the folder that the walkthrough makes.
func Clean(checkout string) error {
	if err := os.RemoveAll(filepath.Join(checkout, "walkthrough")); err != nil {
		return fmt.Errorf("remove what the walkthrough made: %w", err)
	}
	return nil
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
