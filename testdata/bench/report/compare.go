package report

import (
	"fmt"
	"io"
	"slices"

	"github.com/tenonrpc/tenon/plugin/bench/contender"
	"github.com/tenonrpc/tenon/plugin/bench/suite"
)

// WriteComparison writes how this build is beside others of itself: for each load
// the median of the ratios of adjacent rounds, above 1 where this build is
// quicker, with the interval of suite's RatioInterval. The column of
// [suite.Again] is the machine's noise. Loads beside a busy processor are compared
// by the median latency and by that of the slowest hundredth.
func WriteComparison(w io.Writer, all []suite.Outcome) {
	for _, mode := range []string{suite.Plain, suite.MTLS} {
		var t table
		for i := range all {
			o := &all[i]
			if o.Contender != contender.Tenon || o.Mode != mode {
				continue
			}
			others := beside(all, o)
			if t == nil {
				t = table{{""}}
				for _, other := range others {
					t[0] = append(t[0], other.Contender)
				}
			}
			if o.Beside {
				t = append(t, comparison(o, others, ", p50", suite.P50, true), comparison(o, others, ", p99", suite.P99, true))
			} else {
				t = append(t, comparison(o, others, "", suite.PerSecond, false))
			}
		}
		if t != nil {
			fmt.Fprintf(w, "%s: this build's speed as a multiple of others', with the interval of 95 %%, of %d pairs\n\n", mode, rounds(all))
			t.write(w)
			fmt.Fprintln(w)
		}
	}
}

// beside returns the outcomes of all others under the load of o.
func beside(all []suite.Outcome, o *suite.Outcome) (others []*suite.Outcome) {
	for i := range all {
		if other := &all[i]; other.Load == o.Load && other.Mode == o.Mode && other.Contender != o.Contender {
			others = append(others, other)
		}
	}
	return others
}

func rounds(all []suite.Outcome) (most int) {
	for i := range all {
		most = max(most, len(all[i].Rounds))
	}
	return most
}

// comparison is a row. Of latencies, less is better.
func comparison(o *suite.Outcome, others []*suite.Outcome, what string, m suite.Metric, less bool) []string {
	row := []string{o.Load + what}
	for _, other := range others {
		this, that := o, other
		if less {
			this, that = other, o
		}
		ratio, low, high, ok := this.RatioInterval(that, m)
		if !ok {
			row = append(row, none)
			continue
		}
		cell := fmt.Sprintf("%.3f [%.3f, %.3f]", ratio, low, high)
		if high < 1 || low > 1 {
			cell += " *"
		}
		row = append(row, cell)
	}
	return slices.Clip(row)
}
