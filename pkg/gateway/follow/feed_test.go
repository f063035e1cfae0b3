package follow

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What comes from the API server and is something else is an error of the reflector's, not of ours.
func TestFeedRefusesOtherKinds(t *testing.T) {
	t.Parallel()
	given := 0
	f := Feed[*corev1.Service]{
		Set: func(*corev1.Service) { given++ }, Swap: func(all []*corev1.Service) { given += len(all) }, Remove: func(*corev1.Service) { given++ },
	}
	service, other := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"}}, &corev1.Pod{}
	for name, err := range map[string]error{
		"add": f.Add(other), "update": f.Update(other), "delete": f.Delete(other), "replace": f.Replace([]any{service, other}, "1"),
	} {
		if err == nil || !strings.Contains(err.Error(), "Pod") {
			t.Errorf("%s: error = %v, want it to name the kind", name, err)
		}
	}
	if given != 0 {
		t.Errorf("%d objects were given on, half a list among them", given)
	}
	for name, err := range map[string]error{
		"add": f.Add(service), "update": f.Update(service), "delete": f.Delete(service), "replace": f.Replace([]any{service, service}, "1"), "resync": f.Resync(),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if given != 5 {
		t.Errorf("%d objects were given on, want 5", given)
	}
}
