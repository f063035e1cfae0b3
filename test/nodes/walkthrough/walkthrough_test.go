package walkthrough

import (
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
	blocks, err := Read("../../..")
	if err != nil || len(blocks) < 10 {
		t.Errorf("%d blocks, %v", len(blocks), err)
	}
}
