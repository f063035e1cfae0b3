package clients_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/linkspan/linkspan/pkg/gateway/clients"
)

func parse(t testing.TB, entries ...string) clients.List {
	t.Helper()
	l, err := clients.Parse(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// GW-3, POL-13: identities, lists of them, and a leading "*." as in Linkerd's MeshTLSAuthentication.
func TestListAllows(t *testing.T) {
	const web = "web.shop.serviceaccount.identity.linkerd.cluster.local"
	cases := map[string]struct {
		entries  []string
		identity string
		want     bool
	}{
		"an identity allows itself":                 {[]string{web}, web, true},
		"an identity allows no other":               {[]string{web}, "api" + web[3:], false},
		"an identity allows nothing in front of it": {[]string{web}, "a." + web, false},
		"an identity allows no part of itself":      {[]string{web}, web[4:], false},
		"one of several is enough":                  {[]string{"a.b", "*.c.d", web}, web, true},
		"upper case in the identity":                {[]string{web}, strings.ToUpper(web), true},
		"upper case in the entry":                   {[]string{strings.ToUpper(web)}, web, true},
		"upper case in a wildcard":                  {[]string{"*.Shop.ServiceAccount.identity.linkerd.cluster.local"}, web, true},
		"white space around an entry":               {[]string{"\t" + web + " \n"}, web, true},
		"a wildcard allows one label":               {[]string{"*.shop.example"}, "web.shop.example", true},
		"a wildcard allows several labels":          {[]string{"*.shop.example"}, "a.b.c.shop.example", true},
		"a wildcard does not allow what follows it": {[]string{"*.shop.example"}, "shop.example", false},
		"a wildcard allows whole labels only":       {[]string{"*.shop.example"}, "webshop.example", false},
		"a wildcard allows no more labels behind":   {[]string{"*.shop.example"}, "web.shop.example.org", false},
		"a wildcard before one label":               {[]string{"*.local"}, web, true},
		"the wildcard alone allows every identity":  {[]string{"*"}, web, true},
		"the wildcard alone needs an identity":      {[]string{"*"}, "", false},
		"the wildcard alone allows an odd identity": {[]string{"*"}, "my client", true},
		"the wildcard beside others":                {[]string{"a.b", "*"}, web, true},
		"no entries allow nobody":                   {nil, web, false},
		"no entries and no identity":                {nil, "", false},
		"an empty identity":                         {[]string{"*.b", "a"}, "", false},
		"an identity of dots":                       {[]string{"*.b", "a"}, "..", false},
		"an empty label is no label":                {[]string{"*.shop.example"}, ".shop.example", false},
		"an empty label in the middle":              {[]string{"*.shop.example"}, "a..shop.example", false},
		"a dot at the end":                          {[]string{web}, web + ".", false},
		"a star in a certificate is not a label":    {[]string{"*.shop.example"}, "*.shop.example", false},
		"an underscore":                             {[]string{"*.shop.example"}, "a_b.shop.example", true},
		"NUL":                                       {[]string{"*.shop.example"}, "a\x00.shop.example", false},
		"a Kelvin sign is not a k":                  {[]string{"k.shop.example"}, "\u212a.shop.example", false},
		"a long s is not an s":                      {[]string{"*.shop.example"}, "web.\u017fhop.example", false},
		"an identity longer than a name":            {[]string{"*.shop.example"}, strings.Repeat("a.", 130) + "shop.example", false},
		"a URI such as those of SPIFFE":             {[]string{"*.example"}, "spiffe://web.example", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := parse(t, tc.entries...).Allows(tc.identity); got != tc.want {
				t.Errorf("%q allow %q: %v, want %v", tc.entries, tc.identity, got, tc.want)
			}
		})
	}
}

func TestListWithoutParsing(t *testing.T) {
	var zero clients.List
	if zero.Allows("web.shop.example") || zero.Len() != 0 {
		t.Errorf("the zero value allows somebody, or has %d entries", zero.Len())
	}
	if l := clients.Any(); !l.Allows("web.shop.example") || l.Allows("") || l.Len() != 1 {
		t.Errorf("Any() allows nobody, or somebody without an identity, or has %d entries", l.Len())
	}
}

func TestListString(t *testing.T) {
	cases := map[string]struct {
		entries []string
		want    string
		len     int
	}{
		"nobody":                {nil, "(nobody)", 0},
		"any":                   {[]string{"*"}, "*", 1},
		"sorted, in lower case": {[]string{"b.Example", "a.example", "*.Shop", "*"}, "*, *.shop, a.example, b.example", 4},
		"repeated":              {[]string{"a", "A", "*.a", "*.A", "*", "*"}, "*, *.a, a", 3},
		"five":                  {[]string{"e", "d", "c", "b", "a"}, "a, b, c, d, e", 5},
		"more than five":        {[]string{"g", "f", "e", "d", "c", "b", "a"}, "a, b, c, d, e and 2 more", 7},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			l := parse(t, tc.entries...)
			if diff := cmp.Diff(tc.want, l.String()); diff != "" {
				t.Errorf("String() (-want +got):\n%s", diff)
			}
			if l.Len() != tc.len {
				t.Errorf("Len() = %d, want %d", l.Len(), tc.len)
			}
		})
	}
}

// Asking costs the same however long the list is. Counted in allocations, since time cannot be.
func TestListAllowsWithoutAllocating(t *testing.T) {
	entries := make([]string, 0, 10_000)
	for i := range 5_000 {
		entries = append(entries, fmt.Sprintf("web-%d.shop.example", i), fmt.Sprintf("*.ns-%d.example", i))
	}
	l := parse(t, entries...)
	if l.Len() != 10_000 {
		t.Fatalf("%d entries", l.Len())
	}
	if n := len(l.String()); n > 5*(255+2)+20 {
		t.Errorf("%d bytes of text", n)
	}
	allocated := testing.AllocsPerRun(100, func() {
		if !l.Allows("a.b.ns-4999.example") || !l.Allows("web-4999.shop.example") || l.Allows("a.b.c.example") {
			t.Error("wrong answer")
		}
	})
	if allocated > 0 {
		t.Errorf("%v allocations", allocated)
	}
}
