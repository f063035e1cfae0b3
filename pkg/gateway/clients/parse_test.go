package clients_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/linkspan/linkspan/pkg/gateway/clients"
)

func TestParseRefuses(t *testing.T) {
	cases := map[string]struct{ entry, wantErr string }{
		"a blank entry":                    {"", `"" is blank`},
		"an entry of white space":          {" \t", `"" is blank`},
		"a wildcard and nothing":           {"*.", "empty label"},
		"a dot":                            {".", "empty label"},
		"a dot in front":                   {".shop.example", "empty label"},
		"a dot at the end":                 {"web.shop.example.", "empty label"},
		"two dots":                         {"web..example", "empty label"},
		"a wildcard and two dots":          {"*..example", "empty label"},
		"a wildcard in the middle":         {"web.*.example", "'*'"},
		"a wildcard at the end":            {"web.shop.*", "'*'"},
		"two wildcards":                    {"*.*.example", "'*'"},
		"a wildcard that is not a label":   {"*shop.example", "'*'"},
		"a wildcard that ends a label":     {"web*.example", "'*'"},
		"two stars":                        {"**", "'*'"},
		"a hyphen in front":                {"-web.example", "'-'"},
		"a hyphen at the end":              {"web-.example", "'-'"},
		"an IP address":                    {"192.0.2.1", "IP address"},
		"a URI, as SPIFFE has identities":  {"spiffe://cluster.local/ns/shop", "character"},
		"two entries in one":               {"a.example b.example", "character"},
		"a comment, which only texts have": {"a.example # b", "character"},
		"a letter that is not ASCII":       {"wéb.example", "character"},
		"bytes that are no text":           {"web\xff.example", "character"},
		"a label of 64 bytes":              {strings.Repeat("a", 64) + ".example", "63 bytes"},
		"a name of 254 bytes":              {strings.Repeat("a.", 126) + "ab", "253 bytes"},
		"something very long":              {strings.Repeat("a", 1<<20), "253 bytes"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			l, err := clients.Parse("good.example", tc.entry)
			if err == nil || l.Len() != 0 {
				t.Fatalf("accepted %q: %v", tc.entry, l)
			}
			for _, part := range []string{"client identity", tc.wantErr, `write a DNS name such as`} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in the error: %v", part, err)
				}
			}
			if len(err.Error()) > 500 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestParseNamesTheEntry(t *testing.T) {
	_, err := clients.Parse("a.example", "b+c.example", "d+e.example")
	if err == nil || !strings.Contains(err.Error(), `"b+c.example"`) || strings.Contains(err.Error(), "d+e") {
		t.Errorf("want an error about the first wrong entry, got %v", err)
	}
}

func TestParseAcceptsTheLongestNames(t *testing.T) {
	longest := strings.Repeat("a.", 126) + "a"
	label := strings.Repeat("a", 63)
	if l := parse(t, longest, label, "*."+label); !l.Allows(longest) || !l.Allows("b."+label) {
		t.Errorf("%v does not allow them", l)
	}
}

func TestParseText(t *testing.T) {
	cases := map[string]struct{ text, want string }{
		"nothing":               {"", "(nobody)"},
		"white space":           {" \n\t\r\n", "(nobody)"},
		"commas alone":          {",, ,", "(nobody)"},
		"a comment alone":       {"# web.example", "(nobody)"},
		"one":                   {"web.example", "web.example"},
		"commas":                {"a.example,b.example,*.c", "*.c, a.example, b.example"},
		"commas and spaces":     {" a.example, b.example ,\tc.example,", "a.example, b.example, c.example"},
		"spaces":                {"a.example b.example", "a.example, b.example"},
		"lines":                 {"a.example\nb.example\n", "a.example, b.example"},
		"lines of Windows":      {"a.example\r\nb.example\r\n", "a.example, b.example"},
		"a comment after one":   {"a.example # the shop, b.example\nc.example#d.example", "a.example, c.example"},
		"a comment among lines": {"a.example\n# b.example\n\n  # *\nc.example", "a.example, c.example"},
		"any":                   {"*", "*"},
		"any, commented out":    {"a.example # *", "a.example"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			l, err := clients.ParseText(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, l.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseTextNamesTheLine(t *testing.T) {
	cases := map[string]struct{ text, want string }{
		"in a file":                  {"a.example\n# comment\nb.example, c+d\n", `line 3: client identity "c+d" has `},
		"in the first line":          {"c+d\na.example", `line 1: client identity "c+d" has `},
		"in an annotation":           {"a.example, c+d", `client identity "c+d" has `},
		"a mark of the byte order":   {"\ufeffa.example\n", `line 1: client identity "\ufeffa.example" has a character`},
		"another kind of separation": {"a.example;b.example", `client identity "a.example;b.example" has a character`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			l, err := clients.ParseText(tc.text)
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("got %v, want it to begin with %q", err, tc.want)
			}
			if l.Len() != 0 || l.Allows("a.example") {
				t.Errorf("a text that cannot be parsed allows %v", l)
			}
		})
	}
}
