package translate

import "strings"

// forwardedBy reads the by parameters of all elements of a Forwarded header (RFC 7239, section 4).
// It is lenient with values: proxies write hosts with ports without the quotes that they should
// have. It reports false when quotes are not closed or are followed by something else.
func forwardedBy(values []string) (by []string, wellFormed bool) {
	for _, value := range values {
		for rest := value; rest != ""; {
			var name, parameter string
			var ok bool
			if name, parameter, rest, ok = cutParameter(rest); !ok {
				return by, false
			}
			if strings.EqualFold(name, "by") {
				by = append(by, parameter)
			}
		}
	}
	return by, true
}

// cutParameter takes one name=value off the front of a Forwarded header, with what separates it from
// the next. A part without an equals sign is a parameter without a value.
func cutParameter(s string) (name, value, rest string, ok bool) {
	end := strings.IndexAny(s, `=,;"`)
	switch {
	case end < 0:
		return strings.TrimSpace(s), "", "", true
	case s[end] == '"':
		return "", "", "", false
	case s[end] != '=':
		return strings.TrimSpace(s[:end]), "", s[end+1:], true
	}
	name, s = strings.TrimSpace(s[:end]), strings.TrimLeft(s[end+1:], " \t")
	if strings.HasPrefix(s, `"`) {
		if value, s, ok = cutQuoted(s[1:]); !ok {
			return "", "", "", false
		}
		s = strings.TrimLeft(s, " \t")
		if s == "" {
			return name, value, "", true
		}
		return name, value, s[1:], s[0] == ',' || s[0] == ';'
	}
	end = strings.IndexAny(s, `,;"`)
	if end < 0 {
		return name, strings.TrimSpace(s), "", true
	}
	return name, strings.TrimSpace(s[:end]), s[end+1:], s[end] != '"'
}

// cutQuoted takes a quoted string, whose first quote is taken already, off the front of s.
func cutQuoted(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// forwardedElement is what this gateway adds. Values are in quotes only where they must be: Linkerd's
// own gateway, when it looks for loops, compares by as it stands.
func forwardedElement(gateway, client, host string) string {
	return "by=" + quoteIfNeeded(gateway) + ";for=" + quoteIfNeeded(client) + ";host=" + quoteIfNeeded(host) + ";proto=https"
}

func quoteIfNeeded(s string) string {
	if isToken(s) {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
