package manifests

import (
	_ "embed" // the files
	"regexp"
)

// Namespace is where all of it is.
const Namespace = "vote"

// Image is the image's name. It is whole: nodes put a registry's name before one that has no host, and would not find what
// was imported without it.
const Image = "example.org/linkspan/app:dev"

var (
	//go:embed west.yaml
	west string
	//go:embed east.yaml
	east string
	//go:embed talk.yaml
	talk string
)

// West is web, traffic and client. Web asks emoji-svc-east and voting-svc-east.
func West() string { return west }

// East is emoji and voting.
func East() string { return east }

// Talk is the servers of other protocols, which say that they are in east.
func Talk() string { return talk }

// In is one of them for another cluster: its pods say that they are there.
func In(cluster, text string) string {
	return regexp.MustCompile(`--cluster=[a-z0-9-]+`).ReplaceAllLiteralString(text, "--cluster="+cluster)
}
