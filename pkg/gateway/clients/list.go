package clients

import (
	"fmt"
	"slices"
	"strings"
)

// wildcard is an entry by itself; with a dot it begins an entry that matches a suffix.
const wildcard = "*"

// List is a set of entries. Its zero value allows nobody.
type List struct {
	// any is set when one of the entries is the wildcard.
	any bool
	// exact holds identities, and suffixes what follows "*.", both in lower case.
	exact    map[string]struct{}
	suffixes map[string]struct{}
}

// Any is the list that allows every identity.
func Any() List { return List{any: true} }

// Allows says whether a client of this identity is on the list. It takes time for the labels of the
// identity and not for the entries of the list.
//
// An identity that is not a DNS name is allowed by the entry * alone, so that an oddity in a
// certificate, such as a star in place of a label, never matches more than it says. The empty identity
// is never allowed.
func (l List) Allows(identity string) bool {
	if identity == "" {
		return false
	}
	if l.any {
		return true
	}
	if CheckName(identity) != nil {
		return false
	}
	identity = lower(identity)
	if _, ok := l.exact[identity]; ok {
		return true
	}
	if len(l.suffixes) == 0 {
		return false
	}
	for {
		_, rest, found := strings.Cut(identity, ".")
		if !found {
			return false
		}
		if _, ok := l.suffixes[rest]; ok {
			return true
		}
		identity = rest
	}
}

// Len is the number of different entries.
func (l List) Len() int {
	n := len(l.exact) + len(l.suffixes)
	if l.any {
		n++
	}
	return n
}

// String is the list for a log: its first five entries in the order of the alphabet, wildcards in
// front, and how many there are besides.
func (l List) String() string {
	const most = 5
	if l.Len() == 0 {
		return "(nobody)"
	}
	entries := l.entries()
	if len(entries) <= most {
		return strings.Join(entries, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(entries[:most], ", "), len(entries)-most)
}

func (l List) entries() []string {
	entries := make([]string, 0, l.Len())
	if l.any {
		entries = append(entries, wildcard)
	}
	for suffix := range l.suffixes {
		entries = append(entries, wildcard+"."+suffix)
	}
	for identity := range l.exact {
		entries = append(entries, identity)
	}
	// The star sorts before letters and digits.
	slices.Sort(entries)
	return entries
}
