package clients

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
)

// Lengths of RFC 1035 §2.3.4, in bytes; a name is counted without the dot at its end.
const (
	maxLabel = 63
	maxName  = 253
)

// Parse makes a list of entries. White space around an entry is ignored, and entries may repeat. The
// error is about the first entry that cannot work, names it and says what to write instead. Without
// entries the list allows nobody, but an entry that is blank is an error: it is more likely a value
// that was forgotten than one that means nobody.
func Parse(entries ...string) (List, error) {
	var l List
	for _, entry := range entries {
		if err := l.add(strings.TrimSpace(entry)); err != nil {
			return List{}, err
		}
	}
	return l, nil
}

// ParseText makes a list of the text of an annotation or a file. Entries are separated by commas, white
// space or new lines, as many as there are; from a # to the end of its line all is a comment. A text
// without entries is the list that allows nobody. Errors are as those of Parse; where the text has
// several lines they begin with the number of the line.
func ParseText(text string) (List, error) {
	var l List
	number := 0
	for line := range strings.Lines(text) {
		number++
		line, _, _ = strings.Cut(line, "#")
		for entry := range strings.FieldsFuncSeq(line, isSeparator) {
			err := l.add(entry)
			switch {
			case err != nil && strings.Contains(text, "\n"):
				return List{}, fmt.Errorf("line %d: %w", number, err)
			case err != nil:
				return List{}, err
			}
		}
	}
	return l, nil
}

func isSeparator(r rune) bool { return r == ',' || unicode.IsSpace(r) }

// add is for lists that are being made.
func (l *List) add(entry string) error {
	if entry == wildcard {
		l.any = true
		return nil
	}
	name, suffix := strings.CutPrefix(entry, wildcard+".")
	err := CheckName(name)
	if entry == "" {
		err = errBlank
	}
	if err != nil {
		return fmt.Errorf("client identity %s %w; write a DNS name such as web.shop.serviceaccount.identity.linkerd.cluster.local, "+
			`"*." and the end of one, or "*" alone for all`, quote(entry), err)
	}
	set := &l.exact
	if suffix {
		set = &l.suffixes
	}
	if *set == nil {
		*set = map[string]struct{}{}
	}
	(*set)[lower(name)] = struct{}{}
	return nil
}

// CheckName says why a name cannot be an identity, or nil: it is one of DNS, in which certificates in use have
// underscores too, and not an IP address. The error continues a sentence about the name. Package certs asks here
// as well, so that every identity that passes a handshake can be written into a list.
func CheckName(name string) error {
	if len(name) > maxName {
		return errLong
	}
	for label := range strings.SplitSeq(name, ".") {
		if err := checkLabel(label); err != nil {
			return err
		}
	}
	if first := name[0]; first >= '0' && first <= '9' { // what is no address costs an error each time
		if _, err := netip.ParseAddr(name); err == nil {
			return errAddress
		}
	}
	return nil
}

// Values, because an identity that is not a DNS name may be asked for as often as a client likes.
var (
	errBlank      = errors.New("is blank")
	errLong       = fmt.Errorf("has more than %d bytes", maxName)
	errEmptyLabel = errors.New("has an empty label: a dot too many")
	errLongLabel  = fmt.Errorf("has a label of more than %d bytes", maxLabel)
	errHyphen     = errors.New("has a label that begins or ends with '-'")
	errStar       = errors.New("has a '*' that is not the whole of its first label")
	errCharacter  = errors.New("has a character that is not a letter, a digit, '-', '_' or a dot")
	errAddress    = errors.New("is an IP address")
)

func checkLabel(label string) error {
	switch {
	case label == "":
		return errEmptyLabel
	case len(label) > maxLabel:
		return errLongLabel
	case label[0] == '-' || label[len(label)-1] == '-':
		return errHyphen
	}
	for i := range len(label) {
		switch c := label[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		case c == '*':
			return errStar
		default:
			return errCharacter
		}
	}
	return nil
}

// lower is for names that were checked. They are ASCII, so that no letter of another script, such as
// the Kelvin sign, can turn into one of ours.
func lower(name string) string { return strings.ToLower(name) }

// quote shows an entry in a message, cut after 64 bytes.
func quote(entry string) string {
	const most = 64
	if len(entry) > most {
		return strconv.Quote(entry[:most]) + "…"
	}
	return strconv.Quote(entry)
}
