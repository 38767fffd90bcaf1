// Bench measures tenon beside the libraries that it is an alternative to: calls
// beside grpc-go, connect-go, ttrpc, drpc and a bare socket, and the life of
// plugins beside hashicorp/go-plugin. "make bench" at the repository's top runs
// it.
//
//	bench            everything but -scale: tables, bars, JSON and a chart
//	bench -scale     how costs grow with connections, streams, bytes, plugins
//	bench -quick     a trial of the program in a minute; figures mean nothing
//	bench -beside name=program
//	                 this build beside another one, and beside itself; may be given
//	                 again
//	bench -from f    tables, bars and chart anew from the JSON of an earlier run;
//	                 with -readme, the README's summary as well
//
// The remaining flags choose parts and lengths.
package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/tenonrpc/tenon/plugin/bench/agent"
	"github.com/tenonrpc/tenon/plugin/bench/life"
	"github.com/tenonrpc/tenon/plugin/bench/report"
	"github.com/tenonrpc/tenon/plugin/bench/suite"
)

//go:embed go.mod
var goMod string

func main() {
	f := parseFlags()
	run := f.measure
	switch {
	case f.agent:
		run = func() error { return agent.Main(os.Stdin, os.Stdout) }
	case f.from != "":
		run = f.again
	case f.scale:
		run = f.measureGrowth
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// flags are the command line.
type flags struct {
	agent, scale, quick bool
	out, from, profiles string
	readme              string
	rounds, lifeRounds  int
	length              time.Duration
	parts               [4]*regexp.Regexp // parts, loads, contenders, modes
	programs            map[string]string // to compare with, by name
}

// Lengths of a run that counts, and of a trial.
const (
	rounds, quickRounds         = 7, 2
	pairs, quickPairs           = 31, 2 // of builds that are compared
	length, quickLength         = 200 * time.Millisecond, 15 * time.Millisecond
	lifeRounds, quickLifeRounds = 15, 2
	warm, quickWarm             = 10, 2
	atOnce, quickAtOnce         = 20, 5
	plugins, quickPlugins       = 200, 10
)

func parseFlags() *flags {
	f := &flags{}
	flag.BoolVar(&f.agent, "agent", false, "be one end of a measurement (this program starts itself so)")
	flag.BoolVar(&f.scale, "scale", false, "measure how costs grow, and nothing else")
	flag.BoolVar(&f.quick, "quick", false, "try the program; the figures mean nothing")
	flag.StringVar(&f.out, "out", "../../.build/bench", "the `directory` for JSON and chart")
	flag.StringVar(&f.from, "from", "", "measure nothing; report what is in this `file`")
	flag.StringVar(&f.readme, "readme", "", "with -from: also write the summary into this `file`, with what -scale left beside the JSON, and the chart into this directory")
	flag.StringVar(&f.profiles, "profiles", "", "a `directory` for CPU profiles of all clients and servers of loads; choose one load and one contender")
	flag.IntVar(&f.rounds, "rounds", 0, "`rounds` of each load; 0: the usual")
	flag.DurationVar(&f.length, "time", 0, "how `long` each round of a load is; 0: the usual")
	flag.IntVar(&f.lifeRounds, "life-rounds", 0, "`rounds` of life cycles; 0: the usual")
	flag.Func("beside", "compare this build with that of `name=program`, and with itself; measure loads alone", func(s string) error {
		name, program, ok := strings.Cut(s, "=")
		if !ok || name == "" || program == "" {
			return errors.New("want name=program")
		}
		if f.programs == nil {
			f.programs = make(map[string]string)
		}
		f.programs[name] = program
		return nil
	})
	for i, name := range []string{"parts", "loads", "contenders", "modes"} {
		flag.Func(name, map[string]string{
			"parts":      "measure only what matches this `regexp`, of: loads life",
			"loads":      "only loads whose names match this `regexp`",
			"contenders": "only contenders whose names match this `regexp`",
			"modes":      "only loads' modes that match this `regexp`, of: plain mTLS",
		}[name], func(s string) (err error) {
			f.parts[i], err = regexp.Compile(s)
			return err
		})
	}
	flag.Parse()
	switch {
	case f.rounds != 0:
	case f.programs != nil:
		f.rounds = f.choose(pairs, quickPairs)
	default:
		f.rounds = f.choose(rounds, quickRounds)
	}
	if f.length == 0 {
		f.length = time.Duration(f.choose(int(length), int(quickLength)))
	}
	if f.lifeRounds == 0 {
		f.lifeRounds = f.choose(lifeRounds, quickLifeRounds)
	}
	return f
}

func (f *flags) choose(usual, quick int) int {
	if f.quick {
		return quick
	}
	return usual
}

// wants reports whether the command line leaves something in: part, load,
// contender, mode, as far as they are given.
func (f *flags) wants(names ...string) bool {
	for i, name := range names {
		if f.parts[i] != nil && !f.parts[i].MatchString(name) {
			return false
		}
	}
	return true
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (f *flags) fleet() (*suite.Fleet, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if f.profiles != "" {
		err = os.MkdirAll(f.profiles, 0o755)
	}
	return &suite.Fleet{Executable: self, Args: []string{"-agent"}, Programs: f.programs, Profiles: f.profiles}, err
}

func (f *flags) measure() error {
	r := &report.Report{
		Made: time.Now().UTC(), Quick: f.quick, Machine: report.ThisMachine(goMod),
		Rounds: f.rounds, Length: f.length, LifeRounds: f.lifeRounds,
	}
	fleet, err := f.fleet()
	if err != nil {
		return err
	}
	if f.wants("loads") {
		r.Loads, err = fleet.Run(&suite.Options{
			Rounds: f.rounds, Length: f.length, Progress: progress,
			Select: func(load, contender, mode string) bool { return f.wants("loads", load, contender, mode) },
		})
		if err != nil {
			return err
		}
	}
	if f.programs != nil {
		report.WriteComparison(os.Stdout, r.Loads)
		return f.write("comparison.json", func(to *os.File) error { return r.WriteJSON(to) })
	}
	if f.wants("life") {
		r.Life, err = life.Measure(&life.Options{
			Rounds: f.lifeRounds, Warm: f.choose(warm, quickWarm), AtOnce: f.choose(atOnce, quickAtOnce), Progress: progress,
		})
		if err != nil {
			return err
		}
	}
	return f.publish(r)
}

// again reports an earlier run.
func (f *flags) again() error {
	b, err := os.ReadFile(f.from)
	if err != nil {
		return err
	}
	r := &report.Report{}
	if err := json.Unmarshal(b, r); err != nil {
		return fmt.Errorf("%s: %w", f.from, err)
	}
	if f.readme != "" {
		if err := f.summarize(r); err != nil {
			return err
		}
	}
	return f.publish(r)
}

// summarize writes the README's part of a report, and the chart that it shows.
func (f *flags) summarize(r *report.Report) error {
	text, err := os.ReadFile(f.readme)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(filepath.Dir(f.from), growthFile))
	if err != nil {
		return fmt.Errorf("bench -scale comes first: %w", err)
	}
	growth := new(report.Growth)
	if err := json.Unmarshal(b, growth); err != nil {
		return fmt.Errorf("%s: %w", growthFile, err)
	}
	if r.Quick || growth.Quick {
		return errors.New("figures of a trial are not for the README")
	}
	next, err := r.InReadme(string(text), growth)
	if err != nil {
		return fmt.Errorf("%s: %w", f.readme, err)
	}
	out := *f
	out.out = "."
	return errors.Join(
		os.WriteFile(f.readme, []byte(next), 0o666),
		out.write("bench.svg", func(to *os.File) error { return r.WriteChart(to) }),
	)
}

// growthFile is where measureGrowth leaves what it has measured.
const growthFile = "growth.json"

// publish writes the files and prints tables and bars.
func (f *flags) publish(r *report.Report) error {
	err := errors.Join(
		f.write("bench.json", func(to *os.File) error { return r.WriteJSON(to) }),
		f.write("bench.svg", func(to *os.File) error { return r.WriteChart(to) }),
	)
	if err != nil {
		return err
	}
	r.WriteTables(os.Stdout)
	r.WriteBars(os.Stdout)
	return nil
}

// write writes a file of the directory for results.
func (f *flags) write(name string, write func(*os.File) error) error {
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return err
	}
	path := filepath.Join(f.out, name)
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	progress("writing %s", path)
	return errors.Join(write(file), file.Close())
}

func (f *flags) measureGrowth() error {
	fleet, err := f.fleet()
	if err != nil {
		return err
	}
	g := &report.Growth{Made: time.Now().UTC(), Quick: f.quick, Machine: report.ThisMachine(goMod)}
	o := &suite.GrowthOptions{
		Connections: []int{1, 10, 50, 100, 200},
		Streams:     []int{1, 100, 1000, 5000, 10_000},
		Bytes:       []int{0, 1 << 10, 64 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20},
		Length:      f.length,
		Progress:    progress,
	}
	if g.Calls, err = fleet.Grow(o); err != nil {
		return err
	}
	if g.Plugins, err = life.MeasureScale(f.choose(plugins, quickPlugins), progress); err != nil {
		return err
	}
	if err := f.write(growthFile, func(to *os.File) error { return g.WriteJSON(to) }); err != nil {
		return err
	}
	g.WriteTables(os.Stdout)
	return nil
}
