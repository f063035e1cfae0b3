package ports

import (
	"fmt"
	"strconv"
	"strings"
)

// The ports that an egress may listen on: below are those that need a privilege.
const (
	lowest  = 1024
	highest = 65535
)

// Range are the ports from Low to High, both included.
type Range struct {
	Low, High uint16
}

// ParseRange reads a range such as 20000-59999. Its ports are at least 1024.
func ParseRange(text string) (Range, error) {
	left, right, ok := strings.Cut(text, "-")
	low, errLow := strconv.ParseUint(left, 10, 16)
	high, errHigh := strconv.ParseUint(right, 10, 16)
	if !ok || errLow != nil || errHigh != nil || low < lowest || low > high {
		return Range{}, fmt.Errorf("%q is no range of ports: give the first and the last from %d to %d, such as 20000-59999", text, lowest, highest)
	}
	return Range{Low: uint16(low), High: uint16(high)}, nil
}

// Size is how many ports there are.
func (r Range) Size() int { return int(r.High) - int(r.Low) + 1 }

func (r Range) contains(port uint16) bool { return port >= r.Low && port <= r.High }
