// Package scenario is what a host does in a measurement of plugins' life cycles.
// It links no plugin library: a program gives it one, so that the size of each
// host and of its memory is its own.
package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"syscall"
	"time"
)

// Mode is how host and plugin secure their connection.
type Mode string

// The modes.
const (
	Plain Mode = "plain"
	P521  Mode = "P-521" // AutoMTLS as the protocol has it
	P256  Mode = "P-256" // AutoMTLS with a P-256 key of the host's
)

// Library starts plugins.
type Library interface {
	// Start starts the program at path and connects to it.
	Start(ctx context.Context, path string, mode Mode) (Plugin, error)
}

// Plugin is a running plugin that serves the example's store.
type Plugin interface {
	Put(ctx context.Context, key string, value []byte) error
	PID() int
	// Close asks the plugin to end and returns when it has.
	Close() error
}

// Sample is what a host reports. A scenario fills in what it measures.
type Sample struct {
	// fresh: from before Start to the first reply, of the host's first plugin
	// and of its second; and the first one from before the host's own start.
	First    time.Duration `json:",omitzero"`
	Second   time.Duration `json:",omitzero"`
	FromExec time.Duration `json:",omitzero"`
	// warm: the same, of plugins started one after another.
	Warm []time.Duration `json:",omitzero"`
	// fresh, warm, stubborn: how long ending each plugin took.
	Close []time.Duration `json:",omitzero"`
	// many: until all plugins have replied, and until all have ended.
	AtOnce   time.Duration `json:",omitzero"`
	CloseAll time.Duration `json:",omitzero"`
	// fresh: processor time of the host for its first plugin. many: for each.
	HostCPU time.Duration `json:",omitzero"`
	// fresh, many: processor time of a plugin's whole life, the mean.
	PluginCPU time.Duration `json:",omitzero"`
	// idle: physical memory in bytes, and processor time in a second without
	// calls.
	HostResident   uint64        `json:",omitzero"`
	PluginResident uint64        `json:",omitzero"`
	HostIdleCPU    time.Duration `json:",omitzero"`
	PluginIdleCPU  time.Duration `json:",omitzero"`
	// scale
	Steps []Step `json:",omitzero"`
}

// Step is a host with so many plugins.
type Step struct {
	Plugins    int
	Start      time.Duration // the mean of those started last
	HostCPU    time.Duration // for each of those started last
	Resident   uint64        // of the host, in bytes
	Live       uint64        // heap and stacks of the host in use, in bytes
	Goroutines int
	Files      int           // open descriptors of the host
	Call       time.Duration // the mean of a call to each plugin
}

// StopTimeout is what hosts give a plugin to end, where their library lets them
// say so.
const StopTimeout = time.Second

// bound is how long a scenario may take.
const bound = 2 * time.Minute

// Main runs one scenario, as the command line says, and prints a Sample.
func Main(library Library) {
	name := flag.String("scenario", "fresh", "`what` to measure: fresh, warm, many, idle, stubborn or scale")
	path := flag.String("plugin", "", "the plugin's `path`")
	mode := flag.String("mode", string(P521), "`how` to secure connections: plain, P-521 or P-256")
	count := flag.Int("n", 1, "how many plugins: warm, many and scale")
	since := flag.Int64("since", 0, "when the host was started, in `nanoseconds` since 1970")
	flag.Parse()
	h := &host{library, *path, Mode(*mode), *count, time.Unix(0, *since)}
	run := map[string]func(context.Context, *Sample) error{
		"fresh": h.fresh, "warm": h.warm, "many": h.many, "idle": h.idle, "stubborn": h.stubborn, "scale": h.scale,
	}[*name]
	err := fmt.Errorf("there is no scenario %q", *name)
	var sample Sample
	if run != nil {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		err = run(ctx, &sample)
		cancel()
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(&sample)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s, %s: %v\n", *name, *mode, err)
		os.Exit(1)
	}
}

type host struct {
	library Library
	path    string
	mode    Mode
	n       int
	since   time.Time
}

// launch starts a plugin and returns how long it took until its first reply.
func (h *host) launch(ctx context.Context) (Plugin, time.Duration, error) {
	begin := time.Now()
	p, err := h.library.Start(ctx, h.path, h.mode)
	if err != nil {
		return nil, 0, err
	}
	if err := p.Put(ctx, "key", []byte("value")); err != nil {
		return nil, 0, errors.Join(err, p.Close())
	}
	return p, time.Since(begin), nil
}

// end closes a plugin and keeps how long it took.
func (s *Sample) end(p Plugin) error {
	begin := time.Now()
	err := p.Close()
	s.Close = append(s.Close, time.Since(begin))
	return err
}

// fresh starts a plugin in a host that has started none, and another one.
func (h *host) fresh(ctx context.Context, s *Sample) error {
	before := cpu(syscall.RUSAGE_SELF)
	first, took, err := h.launch(ctx)
	if err != nil {
		return err
	}
	s.First, s.FromExec = took, time.Since(h.since)
	s.HostCPU = cpu(syscall.RUSAGE_SELF) - before
	second, took, err := h.launch(ctx)
	if err != nil {
		return errors.Join(err, first.Close())
	}
	s.Second = took
	if err := errors.Join(s.end(first), s.end(second)); err != nil {
		return err
	}
	s.PluginCPU = cpu(syscall.RUSAGE_CHILDREN) / 2
	return nil
}

// warm starts and ends plugins one after another, in a host that has done so
// before.
func (h *host) warm(ctx context.Context, s *Sample) error {
	for i := range h.n + 1 {
		p, took, err := h.launch(ctx)
		if err != nil {
			return err
		}
		if i == 0 {
			if err := p.Close(); err != nil {
				return err
			}
			continue
		}
		s.Warm = append(s.Warm, took)
		if err := s.end(p); err != nil {
			return err
		}
	}
	return nil
}

// stubborn ends a plugin that does not want to.
func (h *host) stubborn(ctx context.Context, s *Sample) error {
	p, err := h.library.Start(ctx, h.path, h.mode)
	if err != nil {
		return err
	}
	s.end(p) // it fails: the plugin had to be killed
	return nil
}

// cpu returns processor time so far.
func cpu(who int) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(who, &r); err != nil {
		panic(err) // there is no way in which it can fail
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
