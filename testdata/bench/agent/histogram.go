package agent

import (
	"math/bits"
	"time"
)

// A histogram counts durations with an error below one percent. It never
// allocates.
type histogram struct {
	counts [(topBit - stepBits + 1) << stepBits]uint32
	n      uint64
	max    time.Duration
}

const (
	// stepBits: each power of two is divided into 2^stepBits steps.
	stepBits = 7
	// topBit: durations of 2^topBit nanoseconds, a minute, and more are counted
	// as the last that is below.
	topBit = 36
)

// add counts one duration.
func (h *histogram) add(d time.Duration) {
	h.counts[step(d)]++
	h.n++
	h.max = max(h.max, d)
}

// step returns the index of a duration's counter. Below 2^stepBits nanoseconds
// each has its own.
func step(d time.Duration) int {
	v := uint64(min(max(d, 0), 1<<topBit-1))
	if v < 1<<stepBits {
		return int(v)
	}
	shift := bits.Len64(v) - stepBits - 1
	return (shift+1)<<stepBits + int(v>>shift) - 1<<stepBits
}

// middle returns the duration in the middle of a step.
func middle(i int) time.Duration {
	if i < 1<<stepBits {
		return time.Duration(i)
	}
	shift := i>>stepBits - 1
	low := uint64(i&(1<<stepBits-1)|1<<stepBits) << shift
	return time.Duration(low + (1<<shift)/2)
}

// merge adds what another histogram has counted.
func (h *histogram) merge(o *histogram) {
	for i, n := range &o.counts {
		h.counts[i] += n
	}
	h.n += o.n
	h.max = max(h.max, o.max)
}

// quantile returns the duration that the part q of all does not exceed; 0 of
// none.
func (h *histogram) quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := uint64(q * float64(h.n-1))
	for i, n := range &h.counts {
		if rank < uint64(n) {
			return min(middle(i), h.max)
		}
		rank -= uint64(n)
	}
	return h.max
}
