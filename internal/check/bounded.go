package check

import (
	"fmt"
	"slices"
)

const (
	// mostFindings is how many findings of one check and level are shown.
	mostFindings = 20
	// mostCharacters is how long a text may be: others wrote a part of it.
	mostCharacters = 500
)

// kindOfResult is what is counted together.
type kindOfResult struct {
	id    string
	level Level
}

// Bounded is the report for people and programs alike: of each check the first findings, the number of the others at the end of
// their section, and no text of any length. It has the same outcome.
func (r Report) Bounded() Report {
	var out Report
	for len(r) > 0 {
		end := slices.IndexFunc(r, func(one Result) bool { return one.Section != r[0].Section })
		if end < 0 {
			end = len(r)
		}
		out = append(out, boundedSection(r[:end])...)
		r = r[end:]
	}
	return out
}

func boundedSection(section Report) Report {
	var out, first Report // first is one result of each kind that there is too much of
	count := map[kindOfResult]int{}
	for _, one := range section {
		kind := kindOfResult{one.ID, one.Level}
		count[kind]++
		switch count[kind] {
		default:
			if count[kind] <= mostFindings {
				one.Text, one.Cause, one.Mend = short(one.Text), short(one.Cause), short(one.Mend)
				out = append(out, one)
			}
		case mostFindings + 1:
			first = append(first, one)
		}
	}
	for _, one := range first {
		one.Text = fmt.Sprintf("and %d more of %s", count[kindOfResult{one.ID, one.Level}]-mostFindings, one.ID)
		if one.Level != OK {
			one.Cause, one.Mend = fmt.Sprintf("%d are shown above", mostFindings), "mend those, and check again"
		}
		out = append(out, one)
	}
	return out
}

func short(text string) string {
	if runes := []rune(text); len(runes) > mostCharacters {
		return string(runes[:mostCharacters-1]) + "…"
	}
	return text
}
