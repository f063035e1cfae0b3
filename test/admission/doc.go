// Package admission puts the policy that holds the controller's account to mirrors (LESSON-35) into clusters of tests, as
// the chart renders it: scenarios of the controller run under it, so that whatever it refuses wrongly fails them.
//
// It must never render anything, nor change what the policy says but whom it holds. Any test may call it, at any time.
package admission
