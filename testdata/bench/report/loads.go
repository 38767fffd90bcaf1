package report

import (
	"fmt"
	"io"
	"slices"

	"github.com/tenonrpc/tenon/plugin/bench/contender"
	"github.com/tenonrpc/tenon/plugin/bench/suite"
)

// largeFrom is the size in bytes from which on rates are given in bytes.
const largeFrom = 64 << 10

// column is a way to fill the cells of a table of loads.
type column struct {
	title string
	fits  func(*suite.Outcome) bool
	cell  func(o, base *suite.Outcome) string
}

var columns = []column{
	{
		"calls or messages a second; from 64 KiB on, MB/s each way (and as a multiple of grpc-go's)",
		func(o *suite.Outcome) bool { return !o.Beside },
		func(o, base *suite.Outcome) string {
			if o.Size >= largeFrom {
				return withRatio(o, base, suite.Megabytes)
			}
			return withRatio(o, base, suite.PerSecond)
		},
	},
	{
		"latency, p50 / p99, µs",
		func(o *suite.Outcome) bool { return !o.Streaming && !o.Beside },
		func(o, _ *suite.Outcome) string { return medians(o, suite.P50, suite.P99) },
	},
	{
		"CPU time of both ends a call or message, µs (and as a multiple of grpc-go's)",
		func(o *suite.Outcome) bool { return !o.Beside },
		func(o, base *suite.Outcome) string { return withRatio(o, base, suite.CPU) },
	},
	{
		"allocations a call or message, client / server",
		func(o *suite.Outcome) bool { return !o.Beside },
		func(o, _ *suite.Outcome) string { return medians(o, suite.ClientAllocs, suite.ServerAllocs) },
	},
	{
		"a quick caller beside slow handlers (16 that wait 20 ms each; one that computes for 20 ms): latency, p50 / p99 / p99.9 / slowest, µs",
		func(o *suite.Outcome) bool { return o.Beside },
		func(o, _ *suite.Outcome) string { return medians(o, suite.P50, suite.P99, suite.P999, suite.Max) },
	},
}

func withRatio(o, base *suite.Outcome, m suite.Metric) string {
	v, ok := o.Median(m)
	if !ok {
		return none
	}
	if base == nil || o == base {
		return number(v)
	}
	ratio, ok := o.Ratio(base, m)
	if !ok {
		return number(v)
	}
	return fmt.Sprintf("%s (%s×)", number(v), digits(ratio))
}

func medians(o *suite.Outcome, metrics ...suite.Metric) string {
	var text string
	for i, m := range metrics {
		v, ok := o.Median(m)
		if !ok {
			return none
		}
		if i > 0 {
			text += " / "
		}
		text += number(v)
	}
	return text
}

// writeLoads writes the tables of the loads.
func writeLoads(w io.Writer, all []suite.Outcome) {
	for _, mode := range []string{suite.Plain, suite.MTLS} {
		for _, c := range columns {
			t := loadTable(all, mode, c)
			if len(t) == 0 {
				continue
			}
			fmt.Fprintf(w, "%s: %s\n\n", mode, c.title)
			t.write(w)
			fmt.Fprintln(w)
		}
	}
	for _, o := range all {
		if o.Err != "" {
			fmt.Fprintf(w, "%s of %s, %s, was not measured: %s\n\n", o.Load, o.Contender, o.Mode, o.Err)
		}
	}
}

func loadTable(all []suite.Outcome, mode string, c column) table {
	var loads, names []string
	for _, o := range all {
		if o.Mode != mode || !c.fits(&o) {
			continue
		}
		if !slices.Contains(loads, o.Load) {
			loads = append(loads, o.Load)
		}
		if !slices.Contains(names, o.Contender) {
			names = append(names, o.Contender)
		}
	}
	if len(loads) == 0 {
		return nil
	}
	t := table{append([]string{""}, names...)}
	for _, load := range loads {
		row := []string{load}
		base := suite.Find(all, load, contender.GRPC, mode)
		for _, name := range names {
			cell := none
			if o := suite.Find(all, load, name, mode); o != nil {
				cell = c.cell(o, base)
			}
			row = append(row, cell)
		}
		t = append(t, row)
	}
	return t
}
