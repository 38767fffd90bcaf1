package report

import (
	"fmt"
	"io"
	"slices"

	"github.com/tenonrpc/tenon/plugin/bench/contender"
	"github.com/tenonrpc/tenon/plugin/bench/life"
	"github.com/tenonrpc/tenon/plugin/bench/life/scenario"
	"github.com/tenonrpc/tenon/plugin/bench/suite"
)

// Bar is something that tenon has to reach, and what it has reached.
type Bar struct {
	Name   string
	Limit  string // what is demanded, such as "at most 0.35×"
	Figure string // what was measured
	Met    bool
}

// A rule is a bar before it is measured.
type rule struct {
	name   string
	most   bool // the limit is the most; otherwise the least
	limit  float64
	unit   string
	figure func(*Report) (float64, bool)
}

// Bars compares what was measured with what was demanded. What was not measured
// is not met.
func (r *Report) Bars() []Bar {
	var bars []Bar
	for _, rule := range rules() {
		bar := Bar{Name: rule.name, Limit: "at least ", Figure: "not measured"}
		if rule.most {
			bar.Limit = "at most "
		}
		bar.Limit += amount(rule.limit, rule.unit)
		if v, ok := rule.figure(r); ok {
			bar.Figure = amount(v, rule.unit)
			bar.Met = v >= rule.limit
			if rule.most {
				bar.Met = v <= rule.limit
			}
		}
		bars = append(bars, bar)
	}
	return bars
}

// amount writes a figure, with one digit more than limits have.
func amount(v float64, unit string) string {
	switch unit {
	case "×":
		return fmt.Sprintf("%.3g×", v)
	case "MB":
		return megabytes(v)
	}
	return fmt.Sprintf("%.4g %s", v, unit)
}

// WriteBars writes the bars, and how many are met.
func (r *Report) WriteBars(w io.Writer) {
	t := table{{"bar", "demanded", "measured", ""}}
	met := 0
	bars := r.Bars()
	for _, bar := range bars {
		verdict := "missed"
		if bar.Met {
			verdict = "met"
			met++
		}
		t = append(t, []string{bar.Name, bar.Limit, bar.Figure, verdict})
	}
	t.write(w)
	fmt.Fprintf(w, "\n%d of %d bars met\n", met, len(bars))
}

// rules returns all bars. Ratios of calls are to grpc-go in the same mode, those
// of plugins' lives to go-plugin.
func rules() []rule {
	return slices.Concat(
		smallRules(suite.Plain), largeRules(suite.Plain, 2.3, 1.4),
		smallRules(suite.MTLS), largeRules(suite.MTLS, 1.8, 1.3),
		[]rule{
			{"server stream: messages a second", false, 2.5, "×", toGRPC(suite.ServerStream, suite.Plain, contender.Tenon, suite.PerSecond)},
			{"8 B × 1: allocations of the client a call", true, 10, "allocations", allocations},
		},
		mixedRules(contender.TenonToGRPC), mixedRules(contender.GRPCToTenon), lifeRules())
}

func smallRules(mode string) []rule {
	of := func(load string, m suite.Metric) func(*Report) (float64, bool) {
		return toGRPC(load, mode, contender.Tenon, m)
	}
	return []rule{
		{mode + ", 8 B × 1: p50", true, 0.35, "×", of(suite.Small1, suite.P50)},
		{mode + ", 8 B × 1: CPU of both ends", true, 0.35, "×", of(suite.Small1, suite.CPU)},
		{mode + ", 8 B × 16: calls a second", false, 4.5, "×", of(suite.Small16, suite.PerSecond)},
		{mode + ", 8 B × 128: calls a second", false, 5, "×", of(suite.Small128, suite.PerSecond)},
		{mode + ", 8 B × 128: CPU of both ends a call", true, 0.2, "×", of(suite.Small128, suite.CPU)},
	}
}

func largeRules(mode string, limit64K, limit1M float64) []rule {
	return []rule{
		{mode + ", 64 KiB × 1: bytes a second", false, limit64K, "×", toGRPC(suite.Large64K, mode, contender.Tenon, suite.Megabytes)},
		{mode + ", 1 MiB × 1: bytes a second", false, limit1M, "×", toGRPC(suite.Large1M, mode, contender.Tenon, suite.Megabytes)},
	}
}

func mixedRules(name string) []rule {
	return []rule{
		{name + ", 8 B × 1: calls a second", false, 1.5, "×", toGRPC(suite.Small1, suite.Plain, name, suite.PerSecond)},
		{name + ", 8 B × 128: calls a second", false, 1.4, "×", toGRPC(suite.Small128, suite.Plain, name, suite.PerSecond)},
	}
}

func lifeRules() []rule {
	return []rule{
		{"launch to first reply, fresh host, plain", true, 0.65, "×", toGoPlugin(scenario.Plain, scenario.Plain, life.First)},
		{"launch to first reply, fresh host, AutoMTLS P-521", true, 0.9, "×", toGoPlugin(scenario.P521, scenario.P521, life.First)},
		{"launch to first reply, second plugin of the host, AutoMTLS P-521", true, 0.75, "×", toGoPlugin(scenario.P521, scenario.P521, life.Second)},
		{"launch to first reply, fresh host, P-256 to go-plugin's P-521", true, 0.35, "×", toGoPlugin(scenario.P256, scenario.P521, life.First)},
		{"size of the stripped plugin", true, 8e6, "MB", pluginSize},
		{"memory of the idle plugin, AutoMTLS P-521", true, 8e6, "MB", idleMemory},
		{"Close, the slowest mode", true, 3, "ms", slowestClose},
		{fmt.Sprintf("Close of a plugin that does not want to end, StopTimeout %v", scenario.StopTimeout), true,
			float64((scenario.StopTimeout + closeSlack).Milliseconds()), "ms", stubbornClose},
	}
}

// closeSlack is what SIGKILL and the end of a process may take after StopTimeout.
const closeSlack = scenario.StopTimeout / 20

func toGRPC(load, mode, name string, m suite.Metric) func(*Report) (float64, bool) {
	return func(r *Report) (float64, bool) {
		o, base := suite.Find(r.Loads, load, name, mode), suite.Find(r.Loads, load, contender.GRPC, mode)
		if o == nil || base == nil {
			return 0, false
		}
		return o.Ratio(base, m)
	}
}

func allocations(r *Report) (float64, bool) {
	o := suite.Find(r.Loads, suite.Small1, contender.Tenon, suite.Plain)
	if o == nil {
		return 0, false
	}
	return o.Median(suite.ClientAllocs)
}

func toGoPlugin(mode, to scenario.Mode, m life.Metric) func(*Report) (float64, bool) {
	return func(r *Report) (float64, bool) {
		return r.Life.Find("fresh", life.Tenon, mode).Ratio(r.Life.Find("fresh", life.GoPlugin, to), m)
	}
}

func pluginSize(r *Report) (float64, bool) {
	p := r.Life.Program(life.Tenon, life.Plugin)
	if p == nil {
		return 0, false
	}
	return float64(p.Size), true
}

func idleMemory(r *Report) (float64, bool) {
	return r.Life.Find("idle", life.Tenon, scenario.P521).Median(life.PluginResident)
}

func slowestClose(r *Report) (slowest float64, ok bool) {
	for _, mode := range modes {
		v, has := r.Life.Find("fresh", life.Tenon, mode).Median(life.Close)
		slowest, ok = max(slowest, v), ok || has
	}
	return slowest, ok
}

func stubbornClose(r *Report) (slowest float64, ok bool) {
	if r.Life == nil {
		return 0, false
	}
	for _, took := range r.Life.Stubborn {
		slowest, ok = max(slowest, float64(took.Microseconds())/1e3), true
	}
	return slowest, ok
}
