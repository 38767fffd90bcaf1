package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tenonrpc/tenon/plugin/bench/contender"
	"github.com/tenonrpc/tenon/plugin/bench/life"
	"github.com/tenonrpc/tenon/plugin/bench/life/scenario"
	"github.com/tenonrpc/tenon/plugin/bench/suite"
)

// A line of the summary's table.
type line struct {
	title, load string
	metric      suite.Metric
	least       bool // less is better
}

var lines = []line{
	{"8 B × 1: p50, µs", suite.Small1, suite.P50, true},
	{"8 B × 1: CPU of both ends a call, µs", suite.Small1, suite.CPU, true},
	{"8 B × 16: calls a second", suite.Small16, suite.PerSecond, false},
	{"8 B × 128: calls a second", suite.Small128, suite.PerSecond, false},
	{"8 B × 128: CPU of both ends a call, µs", suite.Small128, suite.CPU, true},
	{"deadline, 5 pairs of metadata × 1: calls a second", "deadline, 5 pairs × 1", suite.PerSecond, false},
	{"64 KiB × 1: MB/s each way", suite.Large64K, suite.Megabytes, false},
	{"1 MiB × 1: MB/s each way", suite.Large1M, suite.Megabytes, false},
	{"1 MiB × 4: MB/s each way", "1 MiB × 4", suite.Megabytes, false},
	{"server stream of 100 B: messages a second", suite.ServerStream, suite.PerSecond, false},
	{"client stream of 100 B: messages a second", "client stream", suite.PerSecond, false},
	{"stream both ways, 100 B: messages a second", "stream both ways", suite.PerSecond, false},
	{"stream, one message at a time: messages a second", "stream, one at a time", suite.PerSecond, false},
}

// clearly is how much better another must be for tenon not to share the first
// place: figures are noisy.
const clearly = 1.05

// WriteSummary writes what the README says of a run, as Markdown: a table for
// each mode, plugins' lives, which bars were missed, and where tenon is not first.
// A nil growth is left out.
func (r *Report) WriteSummary(w io.Writer, growth *Growth) {
	fmt.Fprintf(w, "%s Medians of %d rounds of %v, in which the contenders take turns; in brackets, multiples of grpc-go's.\n\n", r.Machine, r.Rounds, r.Length)
	var first []string
	for _, mode := range []string{suite.Plain, suite.MTLS} {
		var names []string
		for _, c := range contender.All() {
			if suite.Find(r.Loads, suite.Small1, c.Name, mode) != nil {
				names = append(names, c.Name)
			}
		}
		t := table{append([]string{mode}, names...)}
		for _, l := range lines {
			base := suite.Find(r.Loads, l.load, contender.GRPC, mode)
			row := []string{l.title}
			for _, name := range names {
				cell := none
				if o := suite.Find(r.Loads, l.load, name, mode); o != nil {
					cell = withRatio(o, base, l.metric)
				}
				row = append(row, cell)
			}
			t = append(t, row)
			first = append(first, r.ahead(&l, mode, names)...)
		}
		if mode == suite.Plain {
			t.write(w)
			fmt.Fprintln(w)
		} else {
			fold(w, "The same with mutual TLS", t.write)
		}
	}
	if r.Life != nil {
		fmt.Fprintf(w, "Plugins' lives, medians of %d rounds:\n\n", r.LifeRounds)
		writeLife(w, r.Life)
		first = append(first, livesAhead(r.Life)...)
	}
	r.writeMissed(w)
	fmt.Fprint(w, "Where tenon is not first:")
	if len(first) == 0 {
		fmt.Fprint(w, " nowhere in these tables.")
	}
	fmt.Fprintf(w, "%s\n", bullets(first))
	if growth != nil {
		fmt.Fprintln(w)
		fold(w, "How costs grow (<code>make bench-scale</code>)", growth.writeSummary)
	}
}

// ahead says who is clearly better than tenon in a line. A bare socket makes no
// calls, and mixed ends are tenon's in part.
func (r *Report) ahead(l *line, mode string, names []string) (who []string) {
	own := suite.Find(r.Loads, l.load, contender.Tenon, mode)
	if own == nil {
		return nil
	}
	for _, name := range names {
		o := suite.Find(r.Loads, l.load, name, mode)
		if o == nil || slices.Contains([]string{contender.Tenon, contender.Raw, contender.TenonToGRPC, contender.GRPCToTenon}, name) {
			continue
		}
		ratio, ok := o.Ratio(own, l.metric)
		if l.least {
			ratio = 1 / ratio
		}
		if ok && ratio > clearly {
			who = append(who, fmt.Sprintf("%s, %s: %s is %s× as good", mode, l.title, name, digits(ratio)))
		}
	}
	return who
}

// livesAhead says where go-plugin is clearly better. Less is better in all rows.
func livesAhead(r *life.Report) (who []string) {
	for _, row := range lifeRows(r) {
		for _, mode := range []scenario.Mode{scenario.Plain, scenario.P521} {
			own, other := r.Find(row.scenario, life.Tenon, mode), r.Find(row.scenario, life.GoPlugin, mode)
			if ratio, ok := own.Ratio(other, row.metric); ok && ratio > clearly {
				who = append(who, fmt.Sprintf("%s, %s: %s× what go-plugin takes", mode, row.title, digits(ratio)))
			}
		}
	}
	return who
}

// fold writes something that is shown when it is asked for.
func fold(w io.Writer, title string, write func(io.Writer)) {
	fmt.Fprintf(w, "<details><summary>%s</summary>\n\n", title)
	write(w)
	fmt.Fprint(w, "\n</details>\n\n")
}

func (r *Report) writeMissed(w io.Writer) {
	var missed []string
	bars := r.Bars()
	for _, bar := range bars {
		if !bar.Met {
			missed = append(missed, fmt.Sprintf("%s: %s, the aim is %s", bar.Name, bar.Figure, bar.Limit))
		}
	}
	fmt.Fprintf(w, "Of the %d aims that the project has set itself (`make bench` prints them), %d are met.", len(bars), len(bars)-len(missed))
	if len(missed) > 0 {
		fmt.Fprint(w, " Not met:")
	}
	fmt.Fprintf(w, "%s\n\n", bullets(missed))
}

func bullets(items []string) string {
	if len(items) == 0 {
		return ""
	}
	return "\n\n- " + strings.Join(items, "\n- ")
}

// writeSummary writes the first and the last step of everything that grows.
func (g *Growth) writeSummary(w io.Writer) {
	t := table{{"for each further one", "contender", "up to", "memory of both ends", "CPU of both ends, µs"}}
	for _, c := range g.Calls {
		last := suite.Step{}
		for i, s := range c.Steps {
			if c.What == suite.Bytes || i != 1 && i != len(c.Steps)-1 {
				last = s
				continue
			}
			memory := float64(s.ClientMemory+s.ServerMemory-last.ClientMemory-last.ServerMemory) / float64(s.N-last.N)
			t = append(t, []string{strings.TrimSuffix(c.What, "s"), c.Contender, fmt.Sprint(s.N), kilobytes(memory), number(micro(s.ClientCPU) + micro(s.ServerCPU))})
			last = s
		}
	}
	for _, run := range g.Plugins {
		for _, sample := range run.Samples {
			for i := 1; i < len(sample.Steps); i++ {
				if i != 1 && i != len(sample.Steps)-1 {
					continue
				}
				s, last := sample.Steps[i], sample.Steps[i-1]
				memory := (float64(s.Resident) - float64(last.Resident)) / float64(s.Plugins-last.Plugins)
				t = append(t, []string{"plugin (its host)", run.Library + ", " + string(run.Mode), fmt.Sprint(s.Plugins), kilobytes(memory), number(micro(s.HostCPU))})
			}
		}
	}
	t.write(w)
	fmt.Fprintln(w)
	t = table{{"messages", "contender", "copies of it alive, client / server", "CPU of both ends a KiB, µs"}}
	for _, c := range g.Calls {
		for _, s := range c.Steps {
			if c.What != suite.Bytes || s.N < 1<<20 {
				continue
			}
			t = append(t, []string{megabytes(float64(s.N)), c.Contender,
				digits(float64(s.ClientMemory)/float64(s.N)) + " / " + digits(float64(s.ServerMemory)/float64(s.N)),
				digits((micro(s.ClientCPU) + micro(s.ServerCPU)) / float64(s.N>>10))})
		}
	}
	t.write(w)
	fmt.Fprint(w, "\nCopies are those beyond the application's own.\n")
}

// The markers between which the summary stands in the README.
const (
	beginMark = "<!-- bench: begin -->\n"
	endMark   = "<!-- bench: end -->\n"
)

// InReadme returns a README's text with the summary between its markers.
func (r *Report) InReadme(text string, growth *Growth) (string, error) {
	before, rest, ok := strings.Cut(text, beginMark)
	_, after, ended := strings.Cut(rest, endMark)
	if !ok || !ended {
		return "", fmt.Errorf("it lacks the markers %q and %q", beginMark, endMark)
	}
	var summary strings.Builder
	r.WriteSummary(&summary, growth)
	return before + beginMark + summary.String() + endMark + after, nil
}
