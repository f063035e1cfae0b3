package remote

import (
	"strings"
	"testing"

	"github.com/linkspan/linkspan/pkg/link"
)

// LESSON-55: annotations that mean nothing change no condition; Ready tells of them beside whatever it has to say.
func TestStatusSaysWhatIsIgnored(t *testing.T) {
	t.Parallel()
	ignored := []*link.InvalidError{
		{Field: "metadata.annotations[a]", Message: "is no time"}, {Field: "metadata.annotations[b]", Message: "is no word"},
	}
	for name, c := range map[string]statusCase{
		"an annotation is ignored; all else is well": {
			change: func(o *observed) { o.entry.ignored = ignored },
			want:   conditions(),
			says:   map[string]string{"Ready": "ignored: metadata.annotations[a]: is no time; ignored: metadata.annotations[b]: is no word"},
		},
		"an annotation is ignored, and a long failure leaves room to say so": {
			change: func(o *observed) {
				o.entry.ignored, o.connection = ignored, Report{Failure: because("Forbidden", strings.Repeat("no ", 1000))}
			},
			want: conditions("Ready", "False Forbidden", "Connected", "False Forbidden", "Synced", "Unknown Pending"),
			says: map[string]string{"Ready": "…; ignored: metadata.annotations[a]: is no time; ignored: metadata.annotations[b]: is no word"},
		},
		"an annotation is ignored, and a field is invalid": {
			change: func(o *observed) {
				o.entry.ignored, o.entry.refusal = ignored, because("InvalidLink", "spec.selector: is not a label selector")
			},
			want: conditions("Ready", "False InvalidLink"),
			says: map[string]string{"Ready": "spec.selector: is not a label selector; ignored: metadata.annotations[a]"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.check(t)
		})
	}
}
