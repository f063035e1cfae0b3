package plan

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
)

// spread turns endpoints into slices base, base-2, base-3 … of at most MaxEndpointsPerSlice. An
// endpoint stays in the slice that it is in, a new one fills a gap, and only what is left over opens
// another slice: so a change touches few slices. keepEmpty asks for one slice even of no endpoints.
func (p *pass) spread(template sliceIntent, base string, family discoveryv1.AddressType, endpoints []discoveryv1.Endpoint, keepEmpty bool) []sliceIntent {
	if len(endpoints) == 0 && !keepEmpty {
		return nil
	}
	c := chunking{
		base: base, existing: map[int]*discoveryv1.EndpointSlice{}, members: map[int][]int{},
		taken: map[int]bool{}, claimed: p.claimed,
	}
	c.find(p, family)
	c.assign(endpoints)

	var intents []sliceIntent
	for _, number := range slices.Sorted(maps.Keys(c.members)) {
		intent := template
		intent.name, intent.addressType, intent.existing = c.name(number), family, c.existing[number]
		members := c.members[number]
		slices.Sort(members)
		for _, i := range members {
			intent.endpoints = append(intent.endpoints, endpoints[i])
		}
		p.claimed[intent.name] = true
		intents = append(intents, intent)
	}
	return intents
}

// chunking assigns endpoints, by index, to slices, by number.
type chunking struct {
	base     string
	existing map[int]*discoveryv1.EndpointSlice
	// taken are numbers whose name is somebody else's, or is ours with another address type, which
	// cannot change.
	taken map[int]bool
	// claimed are the names of other slices of the plan.
	claimed map[string]bool
	members map[int][]int
}

func (c *chunking) name(number int) string {
	if number == 1 {
		return c.base
	}
	return c.base + "-" + strconv.Itoa(number)
}

// number is the inverse of name.
func (c *chunking) number(name string) (int, bool) {
	if name == c.base {
		return 1, true
	}
	digits, ok := strings.CutPrefix(name, c.base+"-")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil && n > 1 && c.name(n) == name
}

func (c *chunking) find(p *pass, family discoveryv1.AddressType) {
	for name, slice := range p.named {
		number, ok := c.number(name)
		switch {
		case !ok:
		case p.ownsSlice(slice) && slice.AddressType == family && !c.claimed[name]:
			c.existing[number] = slice
		default:
			c.taken[number] = true
		}
	}
}

// occurrence says which of several endpoints is meant: a slice may hold one twice for a moment, when
// a pod follows another that had its address.
type occurrence struct {
	addresses string
	nth       int
}

func occurrences(endpoints []discoveryv1.Endpoint) []occurrence {
	seen := make(map[string]int, len(endpoints))
	keys := make([]occurrence, len(endpoints))
	for i := range endpoints {
		addresses := strings.Join(endpoints[i].Addresses, ",")
		keys[i] = occurrence{addresses, seen[addresses]}
		seen[addresses]++
	}
	return keys
}

func (c *chunking) assign(endpoints []discoveryv1.Endpoint) {
	home := map[occurrence]int{}
	numbers := slices.Sorted(maps.Keys(c.existing))
	for _, number := range numbers {
		for _, key := range occurrences(c.existing[number].Endpoints) {
			if _, ok := home[key]; !ok {
				home[key] = number
			}
		}
	}
	var homeless []int
	for i, key := range occurrences(endpoints) {
		number, ok := home[key]
		if !ok || len(c.members[number]) >= MaxEndpointsPerSlice {
			homeless = append(homeless, i)
			continue
		}
		c.members[number] = append(c.members[number], i)
	}
	c.fill(homeless, slices.Sorted(maps.Keys(c.members)))
	if len(c.members) == 0 {
		c.members[c.first(numbers)] = nil
	}
}

// fill puts endpoints where there is room, in the slices given first.
func (c *chunking) fill(homeless, numbers []int) {
	next := 0
	for _, i := range homeless {
		for next < len(numbers) && len(c.members[numbers[next]]) >= MaxEndpointsPerSlice {
			next++
		}
		if next == len(numbers) {
			numbers = append(numbers, c.first(nil))
		}
		c.members[numbers[next]] = append(c.members[numbers[next]], i)
	}
}

// first is the first of the numbers given, or else the first that is not in use.
func (c *chunking) first(numbers []int) int {
	if len(numbers) > 0 {
		return numbers[0]
	}
	for number := 1; ; number++ {
		if _, used := c.members[number]; !used && !c.taken[number] && !c.claimed[c.name(number)] {
			return number
		}
	}
}
