package retry

import (
	"errors"
	"math"
	"math/rand/v2"
	"time"
)

// Backoff determines how long to wait before each further attempt. The zero value waits
// for about 100 ms, then twice as long each time, at most 5 s.
type Backoff struct {
	// Initial is the wait after the first failure. Zero means 100 ms, or Max if that is
	// less.
	Initial time.Duration
	// Max is the longest wait. Zero means 5 s, or Initial if that is more.
	Max time.Duration
	// Multiplier is by how much each wait is longer than the one before: at least 1.
	// Zero means 2.
	Multiplier float64
	// Jitter is the part of each wait that is random, up to 1: a wait of d takes
	// between d*(1-Jitter) and d. Zero means 0.2; a negative value means none.
	Jitter float64
}

// Validate returns an error if a field has a value that makes no sense.
func (b Backoff) Validate() error {
	switch {
	case b.Initial < 0 || b.Max < 0:
		return errors.New("retry: Backoff.Initial and Backoff.Max must not be negative")
	case b.Max > 0 && b.Initial > b.Max:
		return errors.New("retry: Backoff.Initial must not be more than Backoff.Max")
	case b.Multiplier != 0 && !(b.Multiplier >= 1 && b.Multiplier <= math.MaxFloat64):
		return errors.New("retry: Backoff.Multiplier must be at least 1, or zero for 2")
	case !(b.Jitter <= 1):
		return errors.New("retry: Backoff.Jitter is a fraction and must not be more than 1")
	}
	return nil
}

// Delay returns the wait after n failures in a row; n less than 1 means 1. b must be
// valid. It differs from call to call by what is random.
func (b Backoff) Delay(n int) time.Duration {
	b = b.settled()
	wait := b.Max
	if grown := float64(b.Initial) * math.Pow(b.Multiplier, float64(max(n, 1)-1)); grown < float64(b.Max) {
		wait = time.Duration(grown)
	}
	if b.Jitter < 0 {
		return wait
	}
	return wait - time.Duration(b.Jitter*rand.Float64()*float64(wait))
}

// settled returns b with the defaults filled in.
func (b Backoff) settled() Backoff {
	if b.Initial == 0 {
		b.Initial = defaultInitial
	}
	if b.Max == 0 {
		b.Max = max(defaultMax, b.Initial)
	}
	if b.Multiplier == 0 {
		b.Multiplier = defaultMultiplier
	}
	if b.Jitter == 0 {
		b.Jitter = defaultJitter
	}
	return b
}
