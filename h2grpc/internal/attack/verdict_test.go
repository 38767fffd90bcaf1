//go:build linux

package attack_test

import (
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestVerdict: a fault of the victim is never excused by a busy machine, and a busy
// machine is not taken for a fault of the victim.
func TestVerdict(t *testing.T) {
	bears := &row{want: none}
	good := result{row: bears, answer: none}
	with := func(change func(*result)) result {
		r := good
		change(&r)
		return r
	}
	slow := with(func(r *result) { r.longest = maxWait + 1 })
	large := with(func(r *result) { r.growth = maxGrowth + 1 })
	late := with(func(r *result) { r.freed = maxFree + 1 })
	wrong := with(func(r *result) { r.answer = calm })
	busy := func(r result) result {
		r.calm = maxCalm + 1
		return r
	}
	for _, c := range []struct {
		name   string
		runs   []result // the last one again and again
		failed string   // part of the words, or ""
		tries  int
	}{
		{"all is well", []result{good}, "", 1},
		{"calls wait once", []result{slow, good}, "", 2},
		{"calls wait always", []result{slow}, "a call waited 50ms", maxTries},
		{"too much memory always", []result{large}, "grew by 16.0 MiB", maxTries},
		{"freed late always", []result{late}, "until all was free", maxTries},
		{"one bar is missed at a time, and always one", []result{slow, large, late, slow, large}, "a call waited", maxTries},
		{"a wrong answer", []result{wrong, good}, "answered", 1},
		{"too many handlers", []result{with(func(r *result) { r.limit, r.handlers = 1, 2 }), good}, "2 handlers were alive", 1},
		{"closed without a word", []result{with(func(r *result) { r.unsaid = true }), good}, "without GOAWAY", 1},
		{"never freed", []result{with(func(r *result) { r.notFreed = "a connection" }), good}, "not freed", 1},
		{"all is well on a busy machine", []result{busy(good)}, "", 1},
		{"a busy machine for a while", []result{busy(slow), busy(wrong), busy(large), good}, "", 4},
		{"a busy machine, then a slow victim", []result{busy(slow), slow}, "a call waited 50ms", 1 + maxTries},
		{"a busy machine, then a wrong answer", []result{busy(wrong), wrong, good}, "answered", 2},
		{"a busy machine for ever", []result{busy(slow)}, "the machine was too busy", 1 + maxBusyRuns},
	} {
		var busyRuns atomic.Int64
		n := 0
		got := verdict(true, &busyRuns, func() result {
			n++
			return c.runs[min(n, len(c.runs))-1]
		})
		if c.failed == "" && got.failed != "" || !strings.Contains(got.failed, c.failed) || got.tries != c.tries {
			t.Errorf("%s: failed with %.200q after %d runs, want %q after %d", c.name, got.failed, got.tries, c.failed, c.tries)
		}
	}
	if got := verdict(false, nil, func() result { return busy(slow) }); got.failed != "" || got.tries != 1 {
		t.Errorf("time counts where it should not: %q", got.failed)
	}
	if late.noisy() == "" || time.Duration(maxCalm) >= maxWait {
		t.Error("the bars are not what they should be")
	}
}

// TestReadmeRows: the README has every row, with the expected answer. What it lists
// about bars is the result of the last full run.
func TestReadmeRows(t *testing.T) {
	var held results
	for _, side := range sides {
		for i := range side.rows {
			held.add(result{row: &side.rows[i]})
		}
	}
	text, err := os.ReadFile("RESULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), beginMark)
	got, _, ok := strings.Cut(rest, endMark)
	if !ok {
		t.Fatal("RESULTS.md has no markers")
	}
	want := strings.Split(held.verdicts(), "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(want) || line != want[i] {
			t.Fatalf("RESULTS.md has another table; run make attack. Its line %d is %q", i+1, line)
		}
	}
}
