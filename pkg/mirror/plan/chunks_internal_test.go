package plan

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// TestSpreadSharesNoName: should two remote slices ever have the same digest, their copies still have
// names of their own, and the same ones again once they exist. No such pair of names is known, so
// this cannot be told from outside.
func TestSpreadSharesNoName(t *testing.T) {
	endpoints := func(from, n int) (all []discoveryv1.Endpoint) {
		for i := range n {
			all = append(all, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("198.51.%d.%d", (from+i)/256, (from+i)%256)}})
		}
		return all
	}
	in := Input{Link: link.Link{Cluster: "east"}, Namespace: "shop", Name: "web"}
	for range 3 {
		p := newPass(in)
		var made []sliceIntent
		for _, n := range [][2]int{{0, 150}, {150, 1}, {151, 0}, {0, 1}} {
			made = append(made, p.spread(sliceIntent{}, "web-east-x", discoveryv1.AddressTypeIPv4, endpoints(n[0], n[1]), true)...)
		}
		var got []string
		in.Local.Slices = nil
		for _, intent := range made {
			got = append(got, fmt.Sprintf("%s: %d", intent.name, len(intent.endpoints)))
			in.Local.Slices = append(in.Local.Slices, &discoveryv1.EndpointSlice{
				ObjectMeta: metav1.ObjectMeta{Name: intent.name, Namespace: "shop", UID: types.UID(intent.name), Labels: map[string]string{
					v1alpha3.LabelMirroredService: labelTrue, v1alpha3.LabelClusterName: "east",
					discoveryv1.LabelServiceName: "web-east", discoveryv1.LabelManagedBy: v1alpha3.SliceManagedBy,
				}},
				AddressType: intent.addressType, Endpoints: intent.endpoints,
			})
		}
		slices.Reverse(in.Local.Slices)
		want := []string{"web-east-x: 100", "web-east-x-2: 50", "web-east-x-3: 1", "web-east-x-4: 0", "web-east-x-5: 1"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("slices (-want +got):\n%s", diff)
		}
	}
}

// TestMessagesAreBounded: the last wall holds whatever goes into a message.
func TestMessagesAreBounded(t *testing.T) {
	for name, tc := range map[string]struct{ given, want string }{
		"as it is":           {"the port “http” is × 2", "the port “http” is × 2"},
		"control characters": {"a\x1b[31m\nb\tc\x00d\u202ee\u2028f\u00adg", "a[31mbcdefg"},
		"no text":            {"a\xffb", "a\ufffdb"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := bounded(tc.given); got != tc.want {
				t.Errorf("bounded(%q) = %q, want %q", tc.given, got, tc.want)
			}
			if got := shown(tc.given); got != tc.want {
				t.Errorf("shown(%q) = %q, want %q", tc.given, got, tc.want)
			}
		})
	}
	for _, letter := range []string{"x", "é", "€", "𝄞"} {
		for length := range 8 {
			long := ""
			for len(long) < maxMessage+length {
				long += letter
			}
			got := bounded("abc"[:length%4] + long)
			if len(got) > maxMessage || len(got) < maxMessage-8 || got != printable(got) {
				t.Errorf("%d bytes of %q give %d bytes, ending in %q", len(long), letter, len(got), got[len(got)-8:])
			}
			if got := shown(long); len([]rune(got)) != maxShown {
				t.Errorf("%d characters shown", len([]rune(got)))
			}
		}
	}
}

// TestTallyLeavesRoom: however many causes there are, the mend that follows them is not cut off.
func TestTallyLeavesRoom(t *testing.T) {
	var causes tally
	for i := range 50 {
		causes.add(fmt.Sprintf("cause %d", i), string(make([]rune, 3))+fmt.Sprint(corev1.ProtocolTCP)+"𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞")
	}
	text := causes.String()
	if len(text) > maxCauses+50 || text != printable(text) {
		t.Errorf("%d bytes: %q", len(text), text)
	}
}
