//go:build linux

package attack_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestAttack runs the rows and judges them. With -attack it runs all of them and
// prints the table.
func TestAttack(t *testing.T) {
	if *all && raced {
		t.Fatal("the bars do not hold under the race detector: run without it")
	}
	began := time.Now()
	var table results
	// Rows that wait for time-outs wait beside the others.
	var waiting sync.WaitGroup
	var late results
	if *all {
		for _, side := range sides {
			for i := range side.rows {
				if r := &side.rows[i]; r.slow {
					waiting.Go(func() { late.add(judge(r, side.client)) })
				}
			}
		}
	}
	defer waiting.Wait()
	for _, slow := range []bool{false, true} {
		if slow {
			waiting.Wait()
		}
		for _, side := range sides {
			for i := range side.rows {
				r := &side.rows[i]
				if r.slow != slow {
					continue
				}
				t.Run(side.name+"/"+r.name, func(t *testing.T) {
					if !*all && !r.quick {
						t.Skip("run with -attack")
					}
					res := late.list[r]
					if !slow {
						res = judge(r, side.client)
					}
					if res.failed != "" {
						t.Errorf("%s\nwhat the victim said of connections and calls: %q", res.failed, res.ended)
					}
					table.add(res)
				})
			}
		}
	}
	if !*all {
		return
	}
	text := table.figures(time.Since(began))
	fmt.Print(text)
	if *figures != "" {
		if err := os.WriteFile(*figures, []byte(text), 0o666); err != nil {
			t.Error(err)
		}
	}
	if t.Failed() {
		return
	}
	if err := writeReadme(*readme, table.verdicts()); err != nil {
		t.Error(err)
	}
}

var sides = []struct {
	name   string
	client bool
	rows   []row
}{{"server", false, serverRows}, {"client", true, clientRows}}

// judge runs a row, and again if other work on the machine may have disturbed it: a
// few times if the machine was calm before and after, and more often if it was not.
// The row passes if one run as a whole meets every bar.
func judge(r *row, client bool) result {
	return verdict(*all, &busyRuns, func() result { return run(r, client) })
}

// verdict is judge for any run. Without timed, time and memory do not count.
func verdict(timed bool, busyRuns *atomic.Int64, run func() result) result {
	var missed []string
	for try, calm := 1, 0; ; try++ {
		res := run()
		res.tries = try
		fault, final := res.wrong(), true
		if fault == "" && timed {
			fault, final = res.noisy(), false
		}
		if fault == "" {
			return res
		}
		busy := timed && res.busy()
		if busy {
			fault += fmt.Sprintf(" (the machine was too busy to tell: while nobody attacked a call waited %v)", res.calm.Round(time.Millisecond))
		} else {
			calm++
		}
		missed = append(missed, fault)
		if !busy && final || calm == maxTries || busy && busyRuns.Add(1) > maxBusyRuns {
			res.failed = strings.Join(missed, "; then ")
			return res
		}
	}
}

// busyRuns counts the runs of all rows that a busy machine has disturbed.
var busyRuns atomic.Int64

// results are the table. Its rows come in any order.
type results struct {
	mu   sync.Mutex
	list map[*row]result
}

func (rs *results) add(r result) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.list == nil {
		rs.list = map[*row]result{}
	}
	rs.list[r.row] = r
}

// figures is the whole table, with what was measured.
func (rs *results) figures(took time.Duration) string {
	var b strings.Builder
	count, held := 0, 0
	for _, side := range sides {
		fmt.Fprintf(&b, "\nAttacks on a %s:\n%-82s %-26s %9s %9s %9s %9s %9s %6s %5s  %s\n", side.name,
			"what the peer did", "the answer", "handlers", "memory", "waited", "99 of 100", "calm", "freed", "tries", "verdict")
		for i := range side.rows {
			r, ok := rs.list[&side.rows[i]]
			if !ok {
				continue
			}
			count++
			verdict := "held"
			if r.failed != "" {
				verdict = "MISSED: " + r.failed
			} else {
				held++
			}
			handlers := fmt.Sprintf("%d", r.handlers)
			if r.limit > 0 {
				handlers += fmt.Sprintf("/%d", r.limit)
			}
			fmt.Fprintf(&b, "%-82s %-26s %9s %9s %9s %9s %9s %6s %5d  %s\n", r.row.name, r.answer, handlers, mib(r.growth),
				milli(r.longest), milli(r.high), milli(r.calm), fmt.Sprintf("%d ms", r.freed.Milliseconds()), r.tries, verdict)
		}
	}
	fmt.Fprintf(&b, "\n%d of %d attacks were borne, in %v.\n", held, count, took.Round(time.Second))
	fmt.Fprintf(&b, "Bars: no more handlers than the limit; at most %s more memory; at most %v of waiting; a GOAWAY before the connection is closed; all freed within %v.\n", mib(maxGrowth), maxWait, maxFree)
	return b.String()
}

func milli(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }

// verdicts returns the table for the README: it is the same after any two good runs.
func (rs *results) verdicts() string {
	var b strings.Builder
	for _, side := range sides {
		held := 0
		for i := range side.rows {
			if r, ok := rs.list[&side.rows[i]]; ok && r.failed == "" {
				held++
			}
		}
		fmt.Fprintf(&b, "<details><summary>Attacks on a %s: %d of %d held</summary>\n\n", side.name, held, len(side.rows))
		b.WriteString("| what the peer did | the answer | bars |\n| --- | --- | --- |\n")
		for i := range side.rows {
			r, verdict := &side.rows[i], "missed"
			if res, ok := rs.list[r]; ok && res.failed == "" {
				verdict = "held"
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", r.name, r.want, verdict)
		}
		b.WriteString("\n</details>\n\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// The markers between which the verdicts stand in the README.
const (
	beginMark = "<!-- attack: begin -->\n"
	endMark   = "<!-- attack: end -->\n"
)

// writeReadme puts text between the markers of a file. No path means nowhere; a
// file without the markers is an error.
func writeReadme(path, text string) error {
	if path == "" {
		return nil
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(old), beginMark)
	_, after, ended := strings.Cut(rest, endMark)
	if !ok || !ended {
		return fmt.Errorf("%s has no markers %q and %q", path, beginMark, endMark)
	}
	return os.WriteFile(path, []byte(before+beginMark+text+endMark+after), 0o666)
}
