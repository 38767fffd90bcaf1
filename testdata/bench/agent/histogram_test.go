package agent

import (
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	var a, b histogram
	for i := 1; i <= 1000; i++ {
		h := &a
		if i%2 == 0 {
			h = &b
		}
		h.add(time.Duration(i) * time.Microsecond)
	}
	a.merge(&b)
	if a.n != 1000 || a.max != time.Millisecond {
		t.Errorf("%d durations up to %v, want 1000 up to 1ms", a.n, a.max)
	}
	for q, want := range map[float64]time.Duration{0: time.Microsecond, 0.5: 500 * time.Microsecond, 0.99: 990 * time.Microsecond, 1: time.Millisecond} {
		if got := a.quantile(q); got < want*99/100 || got > want*101/100 {
			t.Errorf("quantile %v is %v, want %v or one percent off", q, got, want)
		}
	}
	if got := new(histogram).quantile(0.5); got != 0 {
		t.Errorf("the median of nothing is %v", got)
	}
}

func TestSteps(t *testing.T) {
	last := -1
	for _, d := range []time.Duration{-1, 0, 1, 127, 128, 129, 255, 256, 1000, 1e6, 1e9, 1<<36 - 1} {
		i := step(d)
		if i < last || i >= len(histogram{}.counts) {
			t.Errorf("the step of %d is %d, after %d", d, i, last)
		}
		last = i
		if m := middle(i); d > 0 && (float64(m) < float64(d)*0.99 || float64(m) > float64(d)*1.01) {
			t.Errorf("%d is counted as %d", d, m)
		}
	}
	if top := len(histogram{}.counts) - 1; last != top || step(1<<63-1) != top {
		t.Errorf("the last step is %d, and that of the longest duration %d, want %d", last, step(1<<63-1), top)
	}
}
