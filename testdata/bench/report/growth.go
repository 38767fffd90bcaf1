package report

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/tenonrpc/tenon/plugin/bench/life"
	"github.com/tenonrpc/tenon/plugin/bench/suite"
)

// Growth is what a run that measures growth has measured.
type Growth struct {
	Made    time.Time
	Quick   bool
	Machine Machine
	Calls   []suite.Growth
	Plugins []life.Run
}

// WriteJSON writes everything that was measured.
func (g *Growth) WriteJSON(w io.Writer) error { return json.NewEncoder(w).Encode(g) }

// linear is how much more each further one may cost than each one before, for
// the growth to pass as linear: figures are noisy.
const linear = 1.5

// WriteTables writes tables: what each further connection, stream, byte and
// plugin costs.
func (g *Growth) WriteTables(w io.Writer) {
	fmt.Fprintf(w, "%s\n\n", g.Machine)
	for _, what := range []string{suite.Connections, suite.Streams} {
		t := table{{what, "contender", "memory of the client for each further one", "of the server", "client CPU for each further one, µs", "server CPU, µs", "p50 of 8 B × 1 meanwhile, µs"}}
		verdict := ""
		for _, growth := range g.Calls {
			if growth.What != what {
				continue
			}
			var client, server, cpu []float64
			last := suite.Step{}
			for _, s := range growth.Steps {
				n := float64(s.N - last.N)
				client = append(client, float64(s.ClientMemory-last.ClientMemory)/n)
				server = append(server, float64(s.ServerMemory-last.ServerMemory)/n)
				cpu = append(cpu, micro(s.ClientCPU)+micro(s.ServerCPU))
				end := len(client) - 1
				t = append(t, []string{fmt.Sprint(s.N), growth.Contender, kilobytes(client[end]), kilobytes(server[end]),
					number(micro(s.ClientCPU)), number(micro(s.ServerCPU)), number(micro(s.P50))})
				last = s
			}
			verdict += judge(growth.Contender, growth.Err, map[string][]float64{"client memory": client, "server memory": server, "CPU": cpu})
		}
		writeGrowth(w, t, verdict)
	}
	g.writeBytes(w)
	g.writePlugins(w)
}

func (g *Growth) writeBytes(w io.Writer) {
	t := table{{suite.Bytes, "contender", "copies beyond the application's, client", "server", "client CPU a call, µs", "server CPU, µs", "p50, µs", "µs of both ends a KiB"}}
	verdict := ""
	for _, growth := range g.Calls {
		if growth.What != suite.Bytes {
			continue
		}
		var cpu []float64
		for _, s := range growth.Steps {
			row := []string{fmt.Sprint(s.N), growth.Contender, none, none,
				number(micro(s.ClientCPU)), number(micro(s.ServerCPU)), number(micro(s.P50)), none}
			// Below a megabyte the memory of the process itself is all one sees.
			if s.N >= 1<<20 {
				row[2], row[3] = digits(float64(s.ClientMemory)/float64(s.N)), digits(float64(s.ServerMemory)/float64(s.N))
			}
			if s.N >= 1<<10 {
				each := (micro(s.ClientCPU) + micro(s.ServerCPU)) / float64(s.N>>10)
				row[7] = digits(each)
				cpu = append(cpu, each)
			}
			t = append(t, row)
		}
		verdict += judge(growth.Contender, growth.Err, map[string][]float64{"CPU": cpu})
	}
	writeGrowth(w, t, verdict)
}

func (g *Growth) writePlugins(w io.Writer) {
	t := table{{"plugins of a host", "library, mode", "memory of the host for each further one", "heap and stacks", "host CPU to start each, ms", "time to start each, ms", "call to each, µs", "goroutines", "descriptors"}}
	verdict := ""
	for _, run := range g.Plugins {
		name := run.Library + ", " + string(run.Mode)
		var memory, cpu []float64
		for _, sample := range run.Samples {
			for i, s := range sample.Steps {
				row := []string{fmt.Sprint(s.Plugins), name, none, none, number(micro(s.HostCPU) / 1e3), number(micro(s.Start) / 1e3),
					number(micro(s.Call)), fmt.Sprint(s.Goroutines), fmt.Sprint(s.Files)}
				if i > 0 {
					last := sample.Steps[i-1]
					n := float64(s.Plugins - last.Plugins)
					memory = append(memory, (float64(s.Resident)-float64(last.Resident))/n)
					cpu = append(cpu, micro(s.HostCPU))
					row[2], row[3] = kilobytes(memory[i-1]), kilobytes((float64(s.Live)-float64(last.Live))/n)
				}
				t = append(t, row)
			}
		}
		verdict += judge(name, "", map[string][]float64{"memory": memory, "CPU": cpu})
	}
	writeGrowth(w, t, verdict)
}

func writeGrowth(w io.Writer, t table, verdict string) {
	if len(t) == 1 && verdict == "" {
		return
	}
	t.write(w)
	fmt.Fprintf(w, "\n%s\n", verdict)
}

// judge says in words whether the cost of each further one stays what it was.
func judge(name, failed string, costs map[string][]float64) string {
	if failed != "" {
		return fmt.Sprintf("%s: not measured to the end: %s\n", name, failed)
	}
	worse := ""
	for _, what := range slices.Sorted(maps.Keys(costs)) {
		each := costs[what]
		if n := len(each); n > 1 && each[n-1] > linear*each[n-2] {
			worse += fmt.Sprintf(" %s: each further one costs %s× what it did before.", what, digits(each[n-1]/each[n-2]))
		}
	}
	if worse == "" {
		worse = " nothing grows faster than linear."
	}
	return name + ":" + worse + "\n"
}

func micro(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
func kilobytes(v float64) string    { return fmt.Sprintf("%.1f kB", v/1e3) }
