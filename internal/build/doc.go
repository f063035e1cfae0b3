// Package build says by a metric which version of a program runs, for dashboards and for the alert on pods of different
// versions (OBS-16).
//
// It owns linkspan_build_info. It must never find the version out itself: the linker gives it to main. It has no state.
package build
