package report

import (
	"fmt"
	"io"
	"time"

	"github.com/tenonrpc/tenon/plugin/bench/life"
	"github.com/tenonrpc/tenon/plugin/bench/life/scenario"
)

// modes are those of plugins' lives.
var modes = []scenario.Mode{scenario.Plain, scenario.P521, scenario.P256}

// lifeRow is a row of the table of life cycles.
type lifeRow struct {
	title, scenario string
	metric          life.Metric
	text            func(float64) string
}

// lifeRows are all rows.
func lifeRows(r *life.Report) []lifeRow {
	many := fmt.Sprintf("%d plugins at once", r.AtOnce)
	return []lifeRow{
		{"launch to first reply, fresh host, ms", "fresh", life.First, number},
		{"the same from the host's own exec, ms", "fresh", life.FromExec, number},
		{"second plugin of the host, ms", "fresh", life.Second, number},
		{"further plugins of the host, ms", "warm", life.Warm, number},
		{many + ": all have replied, ms", "many", life.AtOnce, number},
		{"Close, ms", "fresh", life.Close, number},
		{many + ": all closed, ms", "many", life.CloseAll, number},
		{"CPU of the host for the first launch, ms", "fresh", life.HostCPU, number},
		{"CPU of a plugin's whole life, ms", "fresh", life.PluginCPU, number},
		{"memory of the host with one plugin, idle", "idle", life.HostResident, megabytes},
		{"memory of the plugin, idle", "idle", life.PluginResident, megabytes},
		{"CPU of the idle host in a second, ms", "idle", life.HostIdleCPU, number},
		{"CPU of the idle plugin in a second, ms", "idle", life.PluginIdleCPU, number},
	}
}

// writeLife writes the tables of life cycles and of programs.
func writeLife(w io.Writer, r *life.Report) {
	if r == nil {
		return
	}
	rows := lifeRows(r)
	head := []string{"life of a plugin (and as a multiple of go-plugin's; P-256 of its P-521)"}
	for _, mode := range modes {
		head = append(head, "tenon, "+string(mode))
		if mode != scenario.P256 {
			head = append(head, "go-plugin, "+string(mode))
		}
	}
	t := table{head}
	for _, row := range rows {
		line := []string{row.title}
		for _, mode := range modes {
			to := mode
			if mode == scenario.P256 {
				to = scenario.P521
			}
			own, other := r.Find(row.scenario, life.Tenon, mode), r.Find(row.scenario, life.GoPlugin, to)
			line = append(line, lifeCell(own, other, row))
			if mode != scenario.P256 {
				line = append(line, lifeCell(other, nil, row))
			}
		}
		t = append(t, line)
	}
	t.write(w)
	fmt.Fprintln(w)
	writePrograms(w, r.Programs)
	for i, name := range []string{"without Shutdown", "that never answers Shutdown"} {
		if i < len(r.Stubborn) {
			fmt.Fprintf(w, "Closing a plugin %s, which ignores signals, takes %v; StopTimeout is %v.\n", name, r.Stubborn[i].Round(time.Millisecond), scenario.StopTimeout)
		}
	}
	fmt.Fprintln(w)
}

func lifeCell(run, base *life.Run, row lifeRow) string {
	v, ok := run.Median(row.metric)
	if !ok {
		return none
	}
	text := row.text(v)
	if ratio, ok := run.Ratio(base, row.metric); ok {
		text += fmt.Sprintf(" (%s×)", digits(ratio))
	}
	return text
}

func writePrograms(w io.Writer, programs []life.Program) {
	t := table{{"program, static and stripped", "size", "packages linked", "of them not of the standard library", "modules"}}
	for _, p := range programs {
		t = append(t, []string{p.Library + "'s " + p.Role, megabytes(float64(p.Size)),
			fmt.Sprint(p.Packages), fmt.Sprint(p.Foreign), fmt.Sprint(p.Modules)})
	}
	t.write(w)
	fmt.Fprintln(w)
}
