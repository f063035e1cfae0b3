package check

import "slices"

// hintBase is the page that explains each check, under its ID.
const hintBase = "https://github.com/linkspan/linkspan/blob/main/docs/checks.md#"

// Level says how bad a finding is.
type Level int

// The levels, from good to bad. Only Error makes a run fail (CHK-1).
const (
	OK Level = iota
	Warning
	Error
)

// Section groups checks; its value is the title that is shown.
type Section string

// The sections, in the order in which they are shown (CHK-3).
const (
	SectionPre          Section = "pre-installation"
	SectionAPI          Section = "kubernetes-api"
	SectionInstallation Section = "linkspan-installation"
	SectionLeader       Section = "linkspan-leader"
	SectionLinks        Section = "linkspan-links"
	SectionGateways     Section = "linkspan-gateways"
	SectionMirrors      Section = "linkspan-mirrors"
	SectionTrust        Section = "linkspan-trust"
	SectionPolicy       Section = "linkspan-policy"
	SectionVersions     Section = "linkspan-versions"
)

// Finding is what one check found.
type Finding struct {
	Level Level
	// Text is what ought to be, and with OK what is.
	Text string
	// Cause says what is wrong, Mend what to do about it; both are empty with OK.
	Cause, Mend string
	// Passing is true for what may be over in a moment without anybody's doing: --wait waits for it.
	Passing bool
}

// Check is one question.
type Check struct {
	// ID never changes: scripts and the documentation know it.
	ID      string
	Section Section
	// Needs are checks whose errors make this one pointless: for the same Link, if both are asked of Links.
	Needs []string
	// Run is for checks of the installation, RunLink for those that are asked of each Link. One of them is set.
	Run     func(Facts) []Finding
	RunLink func(Facts, Link) []Finding
}

// Hint is the URL of the text on how to mend what the check finds.
func (c Check) Hint() string { return hintBase + c.ID }

// Result is a finding of a check.
type Result struct {
	ID      string
	Section Section
	Hint    string
	Finding
}

// Report is what a run found, in order.
type Report []Result

// Success says whether nothing is broken; warnings are no obstacle.
func (r Report) Success() bool {
	return !slices.ContainsFunc(r, func(one Result) bool { return one.Level == Error })
}

// MayPass says whether all errors may be over in a moment: one that stays makes waiting for others pointless.
func (r Report) MayPass() bool {
	return !slices.ContainsFunc(r, func(one Result) bool { return one.Level == Error && !one.Passing })
}

// Run asks the checks in order. Within a section what is asked of Links comes last, one Link after the other.
func Run(checks []Check, facts Facts) Report {
	r := run{facts: facts, failed: map[key]bool{}}
	for len(checks) > 0 {
		end := slices.IndexFunc(checks, func(c Check) bool { return c.Section != checks[0].Section })
		if end < 0 {
			end = len(checks)
		}
		r.section(checks[:end])
		checks = checks[end:]
	}
	return r.report
}

// key is a check, and for checks of Links the Link's name.
type key struct{ id, link string }

type run struct {
	facts  Facts
	failed map[key]bool
	report Report
}

func (r *run) section(checks []Check) {
	for _, c := range checks {
		if c.Run != nil {
			r.one(c, "", func() []Finding { return c.Run(r.facts) })
		}
	}
	for _, l := range r.facts.Links.Value {
		for _, c := range checks {
			if c.RunLink != nil {
				r.one(c, l.Name(), func() []Finding { return c.RunLink(r.facts, l) })
			}
		}
	}
}

// one asks one check, unless what it needs has failed; then what needs this one is not asked either.
func (r *run) one(c Check, link string, ask func() []Finding) {
	for _, need := range c.Needs {
		if r.failed[key{id: need}] || r.failed[key{need, link}] {
			r.failed[key{c.ID, link}] = true
			return
		}
	}
	for _, f := range ask() {
		r.report = append(r.report, Result{ID: c.ID, Section: c.Section, Hint: c.Hint(), Finding: f})
		if f.Level == Error {
			r.failed[key{c.ID, link}] = true
		}
	}
}

func good(text string) []Finding { return []Finding{{Text: text}} }

func warn(text, cause, mend string) Finding {
	return Finding{Level: Warning, Text: text, Cause: cause, Mend: mend}
}

func bad(text, cause, mend string) Finding {
	return Finding{Level: Error, Text: text, Cause: cause, Mend: mend}
}

// passing is bad, but may be over in a moment.
func passing(text, cause, mend string) Finding {
	f := bad(text, cause, mend)
	f.Passing = true
	return f
}
