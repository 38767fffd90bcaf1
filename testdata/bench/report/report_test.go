package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin/bench/agent"
	"github.com/tenonrpc/tenon/plugin/bench/contender"
	"github.com/tenonrpc/tenon/plugin/bench/life"
	"github.com/tenonrpc/tenon/plugin/bench/life/scenario"
	"github.com/tenonrpc/tenon/plugin/bench/report"
	"github.com/tenonrpc/tenon/plugin/bench/suite"
)

// outcome is one with rounds of a second each, in which so many calls were made.
func outcome(load, name, mode string, size int, calls ...uint64) suite.Outcome {
	o := suite.Outcome{Load: load, Contender: name, Mode: mode, Size: size}
	for _, n := range calls {
		second := time.Second
		o.Rounds = append(o.Rounds, suite.Round{
			Result: agent.Result{
				Calls: n, Elapsed: second, P50: second / time.Duration(n), P99: second, Max: second,
				CPU: second, Mallocs: 5 * n,
			},
			ServerCPU: second,
		})
	}
	return o
}

// full is a report in which tenon is factor times as fast as grpc-go, and
// go-plugin needs factor times as long as tenon.
func full(factor uint64) *report.Report {
	r := &report.Report{Machine: report.ThisMachine("require google.golang.org/grpc v0.0.1\n\tgoogle.golang.org/grpc v1.2.3\n"), Life: &life.Report{AtOnce: 20, Stubborn: []time.Duration{time.Second}}}
	for _, load := range suite.Loads() {
		for _, mode := range []string{suite.Plain, suite.MTLS} {
			for _, c := range contender.All() {
				n := uint64(1000)
				if strings.Contains(c.Name, contender.Tenon) {
					n *= factor
				}
				r.Loads = append(r.Loads, outcome(load.Name, c.Name, mode, load.Size, n, 2*n, n))
			}
		}
	}
	for _, mode := range []scenario.Mode{scenario.Plain, scenario.P521, scenario.P256} {
		for _, name := range []string{"fresh", "idle"} {
			for _, library := range []string{life.Tenon, life.GoPlugin} {
				unit := time.Millisecond
				if library == life.GoPlugin {
					unit *= time.Duration(factor)
				}
				r.Life.Runs = append(r.Life.Runs, life.Run{Scenario: name, Library: library, Mode: mode, Samples: []scenario.Sample{
					{First: unit, Second: unit, Close: []time.Duration{unit}, PluginResident: 7e6},
				}})
			}
		}
	}
	r.Life.Programs = []life.Program{{Library: life.Tenon, Role: life.Plugin, Size: 7e6}}
	return r
}

func TestBars(t *testing.T) {
	for _, bar := range full(10).Bars() {
		if !bar.Met {
			t.Errorf("tenon is ten times as fast, and this is missed: %+v", bar)
		}
	}
	met := 0
	for _, bar := range full(1).Bars() {
		if bar.Met {
			met++
			if strings.Contains(bar.Limit, "×") {
				t.Errorf("tenon is as fast as the others, and this is met: %+v", bar)
			}
		}
	}
	if want := 5; met != want { // allocations, size, memory and the two of Close
		t.Errorf("%d bars are met that are no ratios, want %d", met, want)
	}
	for _, bar := range new(report.Report).Bars() {
		if bar.Met || bar.Figure != "not measured" {
			t.Errorf("nothing was measured, and yet: %+v", bar)
		}
	}
}

// TestLastLine checks what the last line says.
func TestLastLine(t *testing.T) {
	var out bytes.Buffer
	full(10).WriteBars(&out)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if last := lines[len(lines)-1]; !regexp.MustCompile(`^(\d+) of \d+ bars met$`).MatchString(last) {
		t.Errorf("the last line is %q", last)
	}
}

func TestTables(t *testing.T) {
	var out bytes.Buffer
	r := full(3)
	r.Loads[0].Err, r.Loads[0].Rounds = "it broke", nil
	r.WriteTables(&out)
	for _, want := range []string{
		`google\.golang\.org/grpc v1\.2\.3`,
		`\| 8 B × 16 +\| +3000 \(3\.00×\) \| +1000 \|`,
		`\| 64 KiB × 1 +\| +197 \(3\.00×\) \| +65\.5 \|`,
		`8 B × 1 of tenon, plain, was not measured: it broke`,
		`\| second plugin of the host, ms +\| +1\.00 \(0\.33×\) \| +3\.00 \|`,
		`\| tenon's plugin +\| 7\.00 MB \|`,
	} {
		if !regexp.MustCompile(want).Match(out.Bytes()) {
			t.Errorf("nothing matches %s in:\n%s", want, out.Bytes())
		}
	}
}

// TestChart checks that the chart is XML that nothing in it breaks, and that
// all bars are inside.
func TestChart(t *testing.T) {
	var out bytes.Buffer
	r := full(3)
	r.Machine.CPU = `A & B <C> "D"`
	if err := r.WriteChart(&out); err != nil {
		t.Fatal(err)
	}
	rects := 0
	for dec := xml.NewDecoder(&out); ; {
		token, err := dec.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "rect" {
			rects++
		}
	}
	if rects < 40 {
		t.Errorf("there are %d bars, want those of ten panels", rects)
	}
}

// TestComparison: what is quicker has a ratio above 1, whether more or less is
// better, and is marked if the interval says so.
func TestComparison(t *testing.T) {
	all := []suite.Outcome{
		outcome("calls", contender.Tenon, suite.Plain, 8, 30, 30, 30), outcome("calls", suite.Again, suite.Plain, 8, 60, 30, 20), outcome("calls", "before", suite.Plain, 8, 15, 15, 15),
		outcome("beside", contender.Tenon, suite.Plain, 8, 30, 30, 30), outcome("beside", "before", suite.Plain, 8, 15, 15, 15),
	}
	all[3].Beside, all[4].Beside = true, true
	var out bytes.Buffer
	report.WriteComparison(&out, all)
	for _, want := range []string{
		`of 3 pairs`, `\| +the same again \| +before \|`,
		`\| calls +\| +1\.000 \[0\.500, 1\.500\] \| +2\.000 \[2\.000, 2\.000\] \* \|`,
		`\| beside, p50 +\| +2\.000 \[`, `\| beside, p99 +\| +1\.000 \[`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("nothing matches %s in:\n%s", want, &out)
		}
	}
}

// TestJSON checks that a report is the same after a round trip.
func TestJSON(t *testing.T) {
	var out bytes.Buffer
	r := full(3)
	if err := r.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var again report.Report
	if err := json.Unmarshal(out.Bytes(), &again); err != nil {
		t.Fatal(err)
	}
	var before, after bytes.Buffer
	r.WriteTables(&before)
	again.WriteTables(&after)
	if before.String() != after.String() {
		t.Errorf("after a round trip the tables are\n%s\nwant\n%s", after.String(), before.String())
	}
}

// TestSummary: the README's part says who is better than tenon, what was missed
// and how costs grow, and replaces what stood there.
func TestSummary(t *testing.T) {
	growth := &report.Growth{Calls: []suite.Growth{
		{What: suite.Connections, Contender: contender.Tenon, Steps: []suite.Step{
			{N: 1, ClientMemory: 1000}, {N: 11, ClientMemory: 21_000, ServerMemory: 10_000}, {N: 211, ClientMemory: 421_000, ServerMemory: 210_000},
		}},
		{What: suite.Bytes, Contender: contender.GRPC, Steps: []suite.Step{{N: 1 << 20, ClientMemory: 1 << 20, ServerMemory: 3 << 20}}},
	}}
	r := full(3)
	for i := range r.Loads {
		if o := &r.Loads[i]; o.Load == suite.Large1M && o.Contender == "drpc" && o.Mode == suite.MTLS {
			*o = outcome(o.Load, o.Contender, o.Mode, o.Size, 6000, 12_000, 6000)
		}
	}
	const before, after = "before\n<!-- bench: begin -->\n", "<!-- bench: end -->\nafter\n"
	text, err := r.InReadme(before+"what was there\n"+after, growth)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(text, before) || !strings.HasSuffix(text, after) || strings.Contains(text, "what was there") {
		t.Errorf("the summary does not stand between its markers:\n%s", text)
	}
	for _, want := range []string{
		`\| 8 B × 16: calls a second +\| +3000 \(3\.00×\) \| +1000 \|`,
		`- mTLS, 1 MiB × 1: MB/s each way: drpc is 2\.00× as good\n`,
		`\n- plain, 8 B × 16: calls a second: 3×, the aim is at least 4\.5×\n`,
		`\| connection +\| +tenon \| +11 \| +3\.0 kB \|`,
		`\| connection +\| +tenon \| +211 \| +3\.0 kB \|`,
		`\| 1\.05 MB +\| +grpc-go \| +1\.00 / 3\.00 \|`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("nothing matches %s in:\n%s", want, text)
		}
	}
	if n := strings.Count(text, "as good"); n != 1 {
		t.Errorf("%d lines say that another is better, want 1", n)
	}
	if _, err := r.InReadme("no markers", growth); err == nil {
		t.Error("a README without markers is taken")
	}
}
