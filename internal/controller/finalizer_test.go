package controller

import (
	"fmt"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// LESSON-42: a Link that others write to while its finalizer is being written is still written to once.
func TestFinalizerIsWrittenOnce(t *testing.T) {
	p := sharedPair(t)
	p.run(t)
	const links, edits = 10, 20
	from := rig.Mark(t, p.source)
	var wg sync.WaitGroup
	for i := range links {
		l := rig.Link(p.links, fmt.Sprintf("east-%d", i))
		rig.Create(t, p.source, l)
		wg.Go(func() {
			for n := range edits {
				edit := fmt.Appendf(nil, `{"metadata":{"annotations":{"example.com/edit":"%d"}}}`, n)
				if err := p.source.Client().Patch(t.Context(), l, client.RawPatch(types.MergePatchType, edit)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i := range links {
		key := linkKey(p)
		key.Name = fmt.Sprintf("east-%d", i)
		rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionCredentialsValid, metav1.ConditionFalse, v1alpha3.ReasonCredentialsMissing)
	}
	rig.ExpectRequests(t, p.source, from, map[string]int{"patch links.multicluster.linkerd.io": links},
		p.byUs(), rig.Writes(), func(r rig.Request) bool { return r.Subresource != "status" })
}
