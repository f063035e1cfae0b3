package probe

// State is the verdict on one gateway address.
type State string

// The three verdicts. Unknown means that none was earned yet: whatever was so before stays so.
const (
	Unknown State = "Unknown"
	Alive   State = "Alive"
	Dead    State = "Dead"
)

// Machine turns the results of probes into a verdict. It is a value, and Step is pure.
type Machine struct {
	State State
	// FailureThreshold is how many failures in a row make an address Dead.
	FailureThreshold int
	// SuccessThreshold is how many successes in a row make a Dead address Alive.
	SuccessThreshold int

	// failures and successes are how many of each came last in a row; one of them is always zero.
	failures, successes int
}

// NewMachine gives a machine without a verdict.
func NewMachine(failureThreshold, successThreshold int) Machine {
	return Machine{State: Unknown, FailureThreshold: failureThreshold, SuccessThreshold: successThreshold}
}

// Restarted keeps the verdict and counts from nothing: results that were got under other settings
// say nothing about the new ones.
func (m Machine) Restarted(failureThreshold int) Machine {
	return Machine{State: m.State, FailureThreshold: failureThreshold, SuccessThreshold: m.SuccessThreshold}
}

// Step takes one result in and says whether the verdict changed.
//
//	Unknown → Alive   at the first success
//	Unknown → Dead    after FailureThreshold failures in a row
//	Alive   → Dead    after FailureThreshold failures in a row
//	Dead    → Alive   after SuccessThreshold successes in a row
func (m Machine) Step(ok bool) (Machine, bool) {
	if ok {
		m.failures, m.successes = 0, m.successes+1
	} else {
		m.failures, m.successes = m.failures+1, 0
	}
	before := m.State
	switch {
	case ok && before == Unknown, ok && before == Dead && m.successes >= m.SuccessThreshold:
		m.State = Alive
	case !ok && m.failures >= m.FailureThreshold:
		m.State = Dead
	}
	return m, m.State != before
}
