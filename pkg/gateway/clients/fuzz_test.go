package clients_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/linkspan/linkspan/pkg/gateway/clients"
)

var isName = regexp.MustCompile(`(?i-s)^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`).MatchString

// naive compares an entry with an identity label by label.
func naive(entry, identity string) bool {
	switch {
	case identity == "":
		return false
	case entry == "*":
		return true
	case len(identity) > 253 || !ascii(identity) || !isName(identity):
		return false
	}
	want, got := strings.Split(entry, "."), strings.Split(identity, ".")
	if want[0] == "*" {
		if len(got) < len(want) {
			return false
		}
		want, got = want[1:], got[len(got)-len(want)+1:]
	}
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if !strings.EqualFold(want[i], got[i]) {
			return false
		}
	}
	return true
}

// ascii keeps letters that fold into ASCII, such as the Kelvin sign, away from what folds.
func ascii(s string) bool { return strings.IndexFunc(s, func(r rune) bool { return r > 127 }) < 0 }

// A list allows an identity exactly if one of its entries, taken alone, does.
func FuzzAllows(f *testing.F) {
	for _, identity := range []string{"web.shop.example", "a.b.shop.example", "shop.example", "", "*.shop.example", ".shop.example", "\u212a.example", "a-.b"} {
		f.Add("web.shop.example", "*.shop.example", "k.example", identity)
		f.Add("*", "*.Example", "a", identity)
		f.Add("*.a.b", "*.b", "A.B", identity)
	}
	f.Fuzz(func(t *testing.T, a, b, c, identity string) {
		entries := []string{a, b, c}
		l, err := clients.Parse(entries...)
		possible, want := true, false
		for _, entry := range entries {
			entry = strings.TrimSpace(entry)
			name := strings.TrimPrefix(entry, "*.")
			possible = possible && (entry == "*" || len(name) <= 253 && ascii(name) && isName(name))
			want = want || naive(entry, identity)
		}
		if (err == nil) != possible {
			t.Fatalf("%q: %v", entries, err)
		}
		if err != nil {
			want = false
		}
		if got := l.Allows(identity); got != want {
			t.Errorf("%q allow %q: %v, want %v", entries, identity, got, want)
		}
	})
}

// What a list says of itself is the text of the same list, and both are bounded.
func FuzzParseText(f *testing.F) {
	for _, text := range []string{"", "a.example, b.example", "a\r\nb # c\n*.d", "*", "a;b", ",,#", "a_b\n", "\ufeffa", "a b c d e f g"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := clients.ParseText(text)
		if err != nil {
			if l.Len() != 0 || len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\r\n\x00") {
				t.Errorf("%v beside the error %q", l, err)
			}
			return
		}
		said := l.String()
		if len(said) > 5*(255+2)+40 {
			t.Errorf("%d bytes of text", len(said))
		}
		if l.Len() == 0 || l.Len() > 5 {
			return
		}
		again, err := clients.ParseText(said)
		if err != nil || again.String() != said || again.Len() != l.Len() {
			t.Errorf("%q says of itself %q, which says %q, %v", text, said, again, err)
		}
	})
}
