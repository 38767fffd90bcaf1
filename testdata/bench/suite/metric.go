package suite

import (
	"slices"

	"github.com/tenonrpc/tenon/plugin/bench/median"
)

// Metric is a figure of a round.
type Metric func(*Outcome, *Round) float64

// PerSecond is the rate of calls or messages.
func PerSecond(_ *Outcome, r *Round) float64 { return float64(r.Calls) / r.Elapsed.Seconds() }

// Megabytes is how many millions of bytes go each way in a second.
func Megabytes(o *Outcome, r *Round) float64 { return PerSecond(o, r) * float64(o.Size) / 1e6 }

// P50 is the median of the latencies, in microseconds.
func P50(_ *Outcome, r *Round) float64 { return float64(r.P50.Nanoseconds()) / 1e3 }

// P99 is what 99 of 100 calls take at most, in microseconds.
func P99(_ *Outcome, r *Round) float64 { return float64(r.P99.Nanoseconds()) / 1e3 }

// P999 is what 999 of 1000 calls take at most, in microseconds.
func P999(_ *Outcome, r *Round) float64 { return float64(r.P999.Nanoseconds()) / 1e3 }

// Max is what the slowest call takes, in microseconds.
func Max(_ *Outcome, r *Round) float64 { return float64(r.Max.Nanoseconds()) / 1e3 }

// CPU is the processor time of both ends a call, in microseconds; ClientCPU and
// ServerCPU are that of one.
func CPU(o *Outcome, r *Round) float64 { return ClientCPU(o, r) + ServerCPU(o, r) }

// ClientCPU is the client's part of CPU.
func ClientCPU(_ *Outcome, r *Round) float64 {
	return float64(r.CPU.Nanoseconds()) / 1e3 / float64(r.Calls)
}

// ServerCPU is the server's part of CPU.
func ServerCPU(_ *Outcome, r *Round) float64 {
	return float64(r.ServerCPU.Nanoseconds()) / 1e3 / float64(r.Calls)
}

// ClientAllocs and ServerAllocs are objects allocated a call.
func ClientAllocs(_ *Outcome, r *Round) float64 { return float64(r.Mallocs) / float64(r.Calls) }
func ServerAllocs(_ *Outcome, r *Round) float64 { return float64(r.ServerMallocs) / float64(r.Calls) }

// Median returns the median of a metric over the rounds; ok is false if there
// are none.
func (o *Outcome) Median(m Metric) (value float64, ok bool) {
	var values []float64
	for i := range o.Rounds {
		values = append(values, m(o, &o.Rounds[i]))
	}
	return median.Of(values)
}

// Ratio returns the median over the rounds of a metric as a multiple of the same
// round's of another contender. Rounds of the same number were measured within a
// moment, so that a machine that is slower for a while does not change it.
func (o *Outcome) Ratio(to *Outcome, m Metric) (ratio float64, ok bool) {
	return median.Of(o.ratios(to, m))
}

func (o *Outcome) ratios(to *Outcome, m Metric) (ratios []float64) {
	for i := range min(len(o.Rounds), len(to.Rounds)) {
		if base := m(to, &to.Rounds[i]); base > 0 {
			ratios = append(ratios, m(o, &o.Rounds[i])/base)
		}
	}
	return ratios
}

// RatioInterval is Ratio with the interval that has the true median of such
// ratios in it in 95 of 100 cases, whatever they are distributed like: its ends
// are two of the ratios, so far from the middle that fewer than 2.5 in 100 sets
// of fair coins fall beyond either.
func (o *Outcome) RatioInterval(to *Outcome, m Metric) (ratio, low, high float64, ok bool) {
	ratios := o.ratios(to, m)
	ratio, ok = median.Of(ratios)
	if !ok {
		return 0, 0, 0, false
	}
	slices.Sort(ratios)
	out := median.Outside(len(ratios))
	return ratio, ratios[out], ratios[len(ratios)-1-out], true
}

// Find returns the outcome of a contender under a load, or nil.
func Find(all []Outcome, load, contender, mode string) *Outcome {
	for i := range all {
		if o := &all[i]; o.Load == load && o.Contender == contender && o.Mode == mode {
			return o
		}
	}
	return nil
}
