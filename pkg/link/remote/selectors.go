package remote

import (
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// watchSelectors says with which label selectors to watch the target so that everything that one of
// the given selectors picks is seen, and nothing else. Label selectors have no "or", so two selectors
// need two watches, unless they differ only in the value of one key, as the default ones do: then one
// watch serves, and a service that changes its mode never leaves it.
func watchSelectors(a, b labels.Selector) []labels.Selector {
	if merged, ok := merge(a, b); ok {
		return []labels.Selector{merged}
	}
	var out []labels.Selector
	for _, s := range []labels.Selector{a, b} {
		if !isNothing(s) {
			out = append(out, s)
		}
	}
	return out
}

// isNothing says whether s is the selector that matches no object.
func isNothing(s labels.Selector) bool {
	_, selectable := s.Requirements()
	return !selectable
}

func merge(a, b labels.Selector) (labels.Selector, bool) {
	ra, oka := a.Requirements()
	rb, okb := b.Requirements()
	if !oka || !okb || len(ra) != 1 || len(rb) != 1 || ra[0].Key() != rb[0].Key() || !picksValues(ra[0]) || !picksValues(rb[0]) {
		return nil, false
	}
	values := ra[0].Values().Union(rb[0].Values()).List()
	r, err := labels.NewRequirement(ra[0].Key(), selection.In, values)
	if err != nil {
		return nil, false
	}
	return labels.NewSelector().Add(*r), true
}

func picksValues(r labels.Requirement) bool {
	switch r.Operator() {
	case selection.Equals, selection.DoubleEquals, selection.In:
		return true
	default:
		return false
	}
}
