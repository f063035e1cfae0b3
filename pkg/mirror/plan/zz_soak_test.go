package plan_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

func TestSoak(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("SOAK"))
	s0, _ := strconv.Atoi(os.Getenv("SEED"))
	r := rand.New(rand.NewPCG(uint64(s0), 99))
	for i := range n {
		seed := make([]byte, 40+r.IntN(1500))
		for i := range seed {
			seed[i] = byte(r.Uint32())
		}
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			w := newWorld(t, &source{data: seed})
			for range 8 {
				w.round()
				w.change()
			}
			w.round()
		})
	}
}
