package life

import (
	"time"

	"github.com/tenonrpc/tenon/plugin/bench/life/scenario"
	"github.com/tenonrpc/tenon/plugin/bench/median"
)

// Metric is a figure of a sample, or several of the same kind.
type Metric func(*scenario.Sample) []float64

// Times in milliseconds, and memory in bytes. See scenario.Sample.
var (
	First          = milliseconds(func(s *scenario.Sample) []time.Duration { return []time.Duration{s.First} })
	FromExec       = milliseconds(func(s *scenario.Sample) []time.Duration { return []time.Duration{s.FromExec} })
	Second         = milliseconds(func(s *scenario.Sample) []time.Duration { return []time.Duration{s.Second} })
	Warm           = milliseconds(func(s *scenario.Sample) []time.Duration { return s.Warm })
	Close          = milliseconds(func(s *scenario.Sample) []time.Duration { return s.Close })
	AtOnce         = milliseconds(func(s *scenario.Sample) []time.Duration { return []time.Duration{s.AtOnce} })
	CloseAll       = milliseconds(func(s *scenario.Sample) []time.Duration { return []time.Duration{s.CloseAll} })
	HostCPU        = milliseconds(func(s *scenario.Sample) []time.Duration { return []time.Duration{s.HostCPU} })
	PluginCPU      = milliseconds(func(s *scenario.Sample) []time.Duration { return []time.Duration{s.PluginCPU} })
	HostIdleCPU    = milliseconds(func(s *scenario.Sample) []time.Duration { return []time.Duration{s.HostIdleCPU} })
	PluginIdleCPU  = milliseconds(func(s *scenario.Sample) []time.Duration { return []time.Duration{s.PluginIdleCPU} })
	HostResident   = func(s *scenario.Sample) []float64 { return []float64{float64(s.HostResident)} }
	PluginResident = func(s *scenario.Sample) []float64 { return []float64{float64(s.PluginResident)} }
)

func milliseconds(of func(*scenario.Sample) []time.Duration) Metric {
	return func(s *scenario.Sample) []float64 {
		var out []float64
		for _, d := range of(s) {
			out = append(out, float64(d.Nanoseconds())/1e6)
		}
		return out
	}
}

// Median returns the median of a metric over all samples of a run; ok is false
// if there are none. A nil Run has none.
func (r *Run) Median(m Metric) (value float64, ok bool) {
	if r == nil {
		return 0, false
	}
	var values []float64
	for i := range r.Samples {
		values = append(values, m(&r.Samples[i])...)
	}
	return median.Of(values)
}

// Ratio returns the median over the rounds of a metric as a multiple of the same
// round's of another run.
func (r *Run) Ratio(to *Run, m Metric) (ratio float64, ok bool) {
	if r == nil || to == nil {
		return 0, false
	}
	var ratios []float64
	for i := range min(len(r.Samples), len(to.Samples)) {
		own, ok1 := median.Of(m(&r.Samples[i]))
		base, ok2 := median.Of(m(&to.Samples[i]))
		if ok1 && ok2 && base > 0 {
			ratios = append(ratios, own/base)
		}
	}
	return median.Of(ratios)
}

// Find returns the run of a scenario, or nil. A nil Report has none.
func (r *Report) Find(name, library string, mode scenario.Mode) *Run {
	if r == nil {
		return nil
	}
	for i := range r.Runs {
		if run := &r.Runs[i]; run.Scenario == name && run.Library == library && run.Mode == mode {
			return run
		}
	}
	return nil
}

// Program returns the program of a library in a role, or nil.
func (r *Report) Program(library, role string) *Program {
	if r == nil {
		return nil
	}
	for i := range r.Programs {
		if p := &r.Programs[i]; p.Library == library && p.Role == role {
			return p
		}
	}
	return nil
}
