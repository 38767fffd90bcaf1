// Package life measures the life cycle of plugins: how long starting and ending
// them takes, and what hosts and plugins need meanwhile, on tenon and on
// hashicorp/go-plugin, with the same plugin.
package life

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tenonrpc/tenon/plugin/bench/life/scenario"
)

// Options say how much is measured.
type Options struct {
	Rounds   int
	Warm     int // plugins that one host starts one after another
	AtOnce   int // plugins that one host starts at once
	Progress func(format string, args ...any)
}

// Report is what was measured.
type Report struct {
	AtOnce   int // Options.AtOnce
	Programs []Program
	Runs     []Run
	Stubborn []time.Duration // how long tenon needs to end plugins that do not want to end
}

// Run is one scenario, once a round.
type Run struct {
	Scenario, Library string
	Mode              scenario.Mode
	Samples           []scenario.Sample
}

// idleRounds are enough to look at processes with nothing to do, which takes
// longer and varies less than the rest.
const idleRounds = 5

// bound is how long a host may take for a scenario before it is killed.
const bound = 3 * time.Minute

// Measure builds the programs and measures. The libraries and modes take turns.
func Measure(o *Options) (*Report, error) {
	dir, err := os.MkdirTemp("", "tn")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	o.Progress("building hosts and plugins")
	r := &Report{AtOnce: o.AtOnce}
	if r.Programs, err = build(dir); err != nil {
		return nil, err
	}
	for _, s := range []struct {
		name string
		n    int
		args []string
	}{
		{"fresh", o.Rounds, nil},
		{"warm", o.Rounds, []string{"-n", strconv.Itoa(o.Warm)}},
		{"many", o.Rounds, []string{"-n", strconv.Itoa(o.AtOnce)}},
		{"idle", min(o.Rounds, idleRounds), nil},
	} {
		o.Progress("life cycle: %s", s.name)
		runs, err := rounds(dir, s.n, s.name, s.args...)
		if err != nil {
			return nil, err
		}
		r.Runs = append(r.Runs, runs...)
	}
	o.Progress("life cycle: stubborn")
	for _, name := range []string{"stubborn", "stubborn-silent"} {
		s, err := sample(dir, "host-tenon", name, scenario.Plain, "stubborn")
		if err != nil {
			return nil, err
		}
		r.Stubborn = append(r.Stubborn, s.Close...)
	}
	return r, nil
}

// MeasureScale measures one host with up to n plugins, for each library.
func MeasureScale(n int, progress func(format string, args ...any)) ([]Run, error) {
	dir, err := os.MkdirTemp("", "tn")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	progress("building hosts and plugins")
	if _, err := build(dir); err != nil {
		return nil, err
	}
	progress("plugins of one host")
	return rounds(dir, 1, "scale", "-n", strconv.Itoa(n))
}

// rounds measures a scenario in the modes that each library has.
func rounds(dir string, n int, name string, args ...string) ([]Run, error) {
	runs := []Run{
		{Scenario: name, Library: Tenon, Mode: scenario.Plain},
		{Scenario: name, Library: GoPlugin, Mode: scenario.Plain},
		{Scenario: name, Library: Tenon, Mode: scenario.P521},
		{Scenario: name, Library: GoPlugin, Mode: scenario.P521},
		{Scenario: name, Library: Tenon, Mode: scenario.P256},
	}
	for round := range n {
		for turn := range runs {
			run := &runs[(round+turn)%len(runs)]
			host, plugin := "host-tenon", "kv-tenon"
			if run.Library == GoPlugin {
				host, plugin = "host-goplugin", "kv-goplugin"
			}
			s, err := sample(dir, host, plugin, run.Mode, name, args...)
			if err != nil {
				return nil, err
			}
			run.Samples = append(run.Samples, *s)
		}
	}
	return runs, nil
}

// sample runs a host once.
func sample(dir, host, plugin string, mode scenario.Mode, name string, args ...string) (*scenario.Sample, error) {
	args = append(args, "-scenario", name, "-mode", string(mode), "-plugin", filepath.Join(dir, plugin))
	cmd := exec.Command(filepath.Join(dir, host))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Args = append(append(cmd.Args, "-since", strconv.FormatInt(time.Now().UnixNano(), 10)), args...)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	timeout := time.AfterFunc(bound, func() { cmd.Process.Kill() })
	defer timeout.Stop()
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("%s, %s, %s: %w\n%s", host, name, mode, err, stderr.Bytes())
	}
	var s scenario.Sample
	if err := json.Unmarshal(stdout.Bytes(), &s); err != nil {
		return nil, fmt.Errorf("%s, %s, %s: %w", host, name, mode, err)
	}
	return &s, nil
}
