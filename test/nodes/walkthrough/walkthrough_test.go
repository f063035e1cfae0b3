package walkthrough

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBlocks(t *testing.T) {
	document := "# Title\n```console\nnot this\n```\n## First\ntext\n```sh\none\n\ntwo # no heading\n```\n```text\n# nor this\n```\n```sh\nthree\n```\n"
	got, err := Blocks(document)
	if err != nil {
		t.Fatal(err)
	}
	want := []Block{
		{Heading: "First", Line: 7, Script: "one\n\ntwo # no heading\n"},
		{Heading: "First", Line: 15, Script: "three\n"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := Blocks("## Open\n```sh\none\n"); err == nil {
		t.Error("a block without an end is taken")
	}
}

// What is run is what is documented: without blocks there would be a test of nothing (DOC-1).
func TestTheWalkthroughHasCommands(t *testing.T) {
	blocks, err := Read("../../..", "/instead")
	if err != nil || len(blocks) < 10 {
		t.Fatalf("%d blocks, %v", len(blocks), err)
	}
	for _, heading := range []string{Certificates, CleanUp} {
		if found, err := Under(blocks, heading); err != nil || len(found) == 0 {
			t.Errorf("%d blocks under %s, %v", len(found), heading, err)
		}
	}
}

// A user who followed the page has keys in the checkout that are in use: whoever runs its commands must not touch them.
func TestTheWalkthroughLeavesTheCheckoutAlone(t *testing.T) {
	blocks, err := Read("../../..", "/instead")
	if err != nil {
		t.Fatal(err)
	}
	moved := 0
	for _, block := range blocks {
		moved += strings.Count(block.Script, "/instead")
		if strings.Contains(strings.ReplaceAll(block.Script, "docs/walkthrough", ""), "walkthrough/") {
			t.Errorf("line %d uses a folder of the checkout:\n%s", block.Line, block.Script)
		}
	}
	if moved == 0 {
		t.Error("nothing is written instead")
	}
}

func TestPartsOfTheWalkthrough(t *testing.T) {
	blocks := []Block{{Heading: "one", Line: 1}, {Heading: "two", Line: 2}, {Heading: "two", Line: 3}, {Heading: "three", Line: 4}}
	under, err := Under(blocks, "two")
	if diff := cmp.Diff(blocks[1:3], under); diff != "" || err != nil {
		t.Error(diff, err)
	}
	before, err := Before(blocks, "three")
	if diff := cmp.Diff(blocks[:3], before); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if _, err := Under(blocks, "renamed"); err == nil {
		t.Error("there is a part under a heading that is not there")
	}
	if _, err := Before(blocks, "renamed"); err == nil {
		t.Error("there is a part before a heading that is not there")
	}
}
