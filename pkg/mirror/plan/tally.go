package plan

import (
	"fmt"
	"strings"
)

// tally counts what was left out, by cause, with one example each. Its text is stable: causes come in
// the order in which they were met, and everything is met in sorted order.
type tally struct {
	causes []tallied
}

type tallied struct {
	cause   string
	example string
	count   int
}

// maxCauses is the most bytes of causes that are listed: the mend that follows must not be cut off.
const maxCauses = 640

func (t *tally) add(cause, example string) {
	for i := range t.causes {
		if t.causes[i].cause == cause {
			t.causes[i].count++
			return
		}
	}
	t.causes = append(t.causes, tallied{cause: cause, example: shown(example), count: 1})
}

func (t *tally) empty() bool { return len(t.causes) == 0 }

// String lists the causes, such as "2 × loopback (127.0.0.1 and others), 1 × multicast (224.0.0.1)".
func (t *tally) String() string {
	parts := make([]string, 0, len(t.causes))
	length := 0
	for i, c := range t.causes {
		more := ""
		if c.count > 1 {
			more = " and others"
		}
		part := fmt.Sprintf("%d × %s (%s%s)", c.count, c.cause, c.example, more)
		if length += len(part); i > 0 && length > maxCauses {
			parts = append(parts, fmt.Sprintf("and for %d other causes", len(t.causes)-i))
			break
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}
