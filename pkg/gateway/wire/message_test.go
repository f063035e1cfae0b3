package wire_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

// aHex is the hexadecimal of so many letters "a".
func aHex(n int) string { return hex.EncodeToString(bytes.Repeat([]byte("a"), n)) }

// Messages that Linkerd's proxy of today does not write, but that are right by the rules of proto3.
func TestReadHeaderFollowsProto3(t *testing.T) {
	cases := map[string]struct {
		message string
		want    wire.Header
	}{
		"fields come in any order": {
			"1a 02 0a 00  12 01 61  08 50", wire.Header{Port: 80, Name: "a", Protocol: wire.HTTP1},
		},
		"the last port counts":                     {"08 50 08 bb03", wire.Header{Port: 443}},
		"the last port counts, though 0 was first": {"08 00 08 50", wire.Header{Port: 80}},
		"the last name counts":                     {"08 50  12 01 61  12 01 62", wire.Header{Port: 80, Name: "b"}},
		"an empty name may be the last":            {"08 50  12 01 61  12 00", wire.Header{Port: 80}},
		"the last kind counts, HTTP/2":             {"08 50  1a 04 0a 00 12 00", wire.Header{Port: 80, Protocol: wire.HTTP2}},
		"the last kind counts, HTTP/1":             {"08 50  1a 04 12 00 0a 00", wire.Header{Port: 80, Protocol: wire.HTTP1}},
		"session protocols are merged":             {"08 50  1a 02 0a 00  1a 00", wire.Header{Port: 80, Protocol: wire.HTTP1}},
		"the kind of the last session protocol":    {"08 50  1a 02 0a 00  1a 02 12 00", wire.Header{Port: 80, Protocol: wire.HTTP2}},
		"a session protocol without a kind":        {"08 50  1a 00", wire.Header{Port: 80}},
		"a kind that is not known yet":             {"08 50  1a 02 1a 00", wire.Header{Port: 80}},
		"an unknown kind replaces none":            {"08 50  1a 04 12 00 1a 00", wire.Header{Port: 80, Protocol: wire.HTTP2}},
		"an unknown varint is skipped":             {"20 ff01  08 50", wire.Header{Port: 80}},
		"an unknown fixed64 is skipped":            {"29 0102030405060708  08 50", wire.Header{Port: 80}},
		"unknown bytes are skipped":                {"32 02 08 51  08 50", wire.Header{Port: 80}},
		"an unknown fixed32 is skipped":            {"3d 08510851  08 50", wire.Header{Port: 80}},
		"the highest field number is skipped":      {"f8ffffff0f 00  08 50", wire.Header{Port: 80}},
		"unknown fields in a session protocol":     {"08 50  1a 06 22 02 0a 00 12 00", wire.Header{Port: 80, Protocol: wire.HTTP2}},
		"unknown fields in a kind":                 {"08 50  1a 04 0a 02 08 01", wire.Header{Port: 80, Protocol: wire.HTTP1}},
		"a number longer than needed":              {"08 d08000", wire.Header{Port: 80}},
		"a tag longer than needed":                 {"8800 50", wire.Header{Port: 80}},
		"a number of 33 bits is cut to 32":         {"08 d080808010", wire.Header{Port: 80}},
		"the longest name":                         {"08 50  12 bd02 " + aHex(317), wire.Header{Port: 80, Name: strings.Repeat("a", 317)}},
		"the longest message":                      {"08 50  22 fb07 " + aHex(1019), wire.Header{Port: 80}},
		"a name may be any text":                   {"08 50  12 06 c3a9 00 2e 2e 2f", wire.Header{Port: 80, Name: "é\x00../"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := wire.ReadHeader(bytes.NewReader(framed(t, unhex(t, tc.message))))
			if err != nil || got != tc.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tc.want)
			}
		})
	}
}

func TestReadHeaderRefuses(t *testing.T) {
	cases := map[string]struct {
		message string
		want    wire.Reason
	}{
		"an empty message, which has no port":   {"", wire.ReasonPort},
		"a name without a port":                 {"12 01 61", wire.ReasonPort},
		"port 0":                                {"08 00", wire.ReasonPort},
		"port 65536":                            {"08 808004", wire.ReasonPort},
		"port -1, in the ten bytes it has":      {"08 ffffffffffffffffff01", wire.ReasonPort},
		"port -1, in five bytes":                {"08 ffffffff0f", wire.ReasonPort},
		"the lowest int32":                      {"08 80808080f8ffffffff01", wire.ReasonPort},
		"a right port followed by port 0":       {"08 50 08 00", wire.ReasonPort},
		"a name too long by one":                {"08 50  12 be02 " + aHex(318), wire.ReasonName},
		"a name that is not UTF-8":              {"08 50  12 02 61ff", wire.ReasonName},
		"half a surrogate pair as a name":       {"08 50  12 03 eda080", wire.ReasonName},
		"a bad name, though a good one follows": {"08 50  12 01 ff  12 01 61", wire.ReasonName},

		"field number 0":                        {"08 50  00 00", wire.ReasonMalformed},
		"a field number of 30 bits":             {"08 50  8080808010 00", wire.ReasonMalformed},
		"a group":                               {"08 50  23 24", wire.ReasonMalformed},
		"the end of a group":                    {"08 50  24", wire.ReasonMalformed},
		"wire type 6":                           {"08 50  26", wire.ReasonMalformed},
		"wire type 7":                           {"08 50  27", wire.ReasonMalformed},
		"a tag without a value":                 {"08", wire.ReasonMalformed},
		"half a tag":                            {"08 50  a0", wire.ReasonMalformed},
		"half a number":                         {"08 d0", wire.ReasonMalformed},
		"a number of 65 bits":                   {"08 ffffffffffffffffff02", wire.ReasonMalformed},
		"a number of eleven bytes":              {"08 8080808080808080808000", wire.ReasonMalformed},
		"half a fixed64":                        {"08 50  29 01020304050607", wire.ReasonMalformed},
		"half a fixed32":                        {"08 50  3d 010203", wire.ReasonMalformed},
		"a name that ends too early":            {"08 50  12 03 6161", wire.ReasonMalformed},
		"a name without a length":               {"08 50  12", wire.ReasonMalformed},
		"a name of 2^64-1 bytes":                {"08 50  12 ffffffffffffffffff01", wire.ReasonMalformed},
		"unknown bytes that end too early":      {"08 50  32 03 6161", wire.ReasonMalformed},
		"a port as bytes":                       {"0a 01 50", wire.ReasonMalformed},
		"a port as fixed32":                     {"0d 50000000", wire.ReasonMalformed},
		"a port as fixed64":                     {"09 5000000000000000", wire.ReasonMalformed},
		"a name as a number":                    {"08 50  10 61", wire.ReasonMalformed},
		"a session protocol as a number":        {"08 50  18 02", wire.ReasonMalformed},
		"a kind as a number":                    {"08 50  1a 02 08 01", wire.ReasonMalformed},
		"a kind longer than what it is in":      {"08 50  1a 02 0a 02 2000", wire.ReasonMalformed},
		"a group in a session protocol":         {"08 50  1a 02 23 24", wire.ReasonMalformed},
		"a group in a kind":                     {"08 50  1a 04 0a 02 23 24", wire.ReasonMalformed},
		"half a number in a kind, then another": {"08 50  1a 04 0a 02 08 80 1a 00", wire.ReasonMalformed},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := wire.ReadHeader(bytes.NewReader(framed(t, unhex(t, tc.message))))
			if reason := reasonOf(t, err); reason != tc.want {
				t.Errorf("reason %q, want %q: %v", reason, tc.want, err)
			}
			if got != (wire.Header{}) {
				t.Errorf("got %+v beside the error", got)
			}
		})
	}
}
