package plan

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a target can make us repeat in messages, which end up in status, events and logs.
const (
	// maxShown is the most characters of one name or value.
	maxShown = 100
	// maxMessage is the most bytes in one message; an event of Kubernetes holds no more.
	maxMessage = 1 << 10
)

const ellipsis = "…"

// shown is a text of the target's as a message may repeat it.
func shown(text string) string {
	characters := []rune(printable(text))
	if len(characters) <= maxShown {
		return string(characters)
	}
	return string(characters[:maxShown-1]) + ellipsis
}

// bounded is the last wall: a message of ours, whatever went into it.
func bounded(message string) string {
	message = printable(message)
	if len(message) <= maxMessage {
		return message
	}
	end := maxMessage - len(ellipsis)
	for !utf8.RuneStart(message[end]) {
		end--
	}
	return message[:end] + ellipsis
}

// printable leaves out what could steer a terminal or turn the reading direction around.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
}
