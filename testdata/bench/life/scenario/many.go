package scenario

import (
	"context"
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/tenonrpc/tenon/plugin/bench/proc"
)

// many starts plugins at once, in a host that has started one before, and ends
// them at once.
func (h *host) many(ctx context.Context, s *Sample) error {
	p, _, err := h.launch(ctx)
	if err != nil {
		return err
	}
	if err := p.Close(); err != nil {
		return err
	}
	own, begin := cpu(syscall.RUSAGE_SELF), time.Now()
	plugins, err := h.start(ctx, h.n)
	s.AtOnce = time.Since(begin)
	s.HostCPU = (cpu(syscall.RUSAGE_SELF) - own) / time.Duration(h.n)
	children := cpu(syscall.RUSAGE_CHILDREN)
	begin = time.Now()
	err = errors.Join(err, closeAll(plugins))
	s.CloseAll = time.Since(begin)
	s.PluginCPU = (cpu(syscall.RUSAGE_CHILDREN) - children) / time.Duration(h.n)
	return err
}

// start starts n plugins at once. It returns those that have started, even if
// others have not.
func (h *host) start(ctx context.Context, n int) ([]Plugin, error) {
	plugins, errs := make([]Plugin, n), make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { plugins[i], _, errs[i] = h.launch(ctx) })
	}
	all.Wait()
	var started []Plugin
	for _, p := range plugins {
		if p != nil {
			started = append(started, p)
		}
	}
	return started, errors.Join(errs...)
}

func closeAll(plugins []Plugin) error {
	errs := make([]error, len(plugins))
	var all sync.WaitGroup
	for i, p := range plugins {
		all.Go(func() { errs[i] = p.Close() })
	}
	all.Wait()
	return errors.Join(errs...)
}

// idleBefore is how long a host and its plugin have had nothing to do when they
// are looked at, and idleTime is how long they are watched then.
const (
	idleBefore = 500 * time.Millisecond
	idleTime   = time.Second
)

// idle looks at a host and a plugin with nothing to do.
func (h *host) idle(ctx context.Context, s *Sample) error {
	p, _, err := h.launch(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	<-time.NewTimer(idleBefore).C
	if s.HostResident, _, err = proc.Memory(os.Getpid()); err != nil {
		return err
	}
	if s.PluginResident, _, err = proc.Memory(p.PID()); err != nil {
		return err
	}
	own := cpu(syscall.RUSAGE_SELF)
	plugin, err := proc.CPU(p.PID())
	if err != nil {
		return err
	}
	<-time.NewTimer(idleTime).C
	after, err := proc.CPU(p.PID())
	s.HostIdleCPU, s.PluginIdleCPU = cpu(syscall.RUSAGE_SELF)-own, after-plugin
	return err
}

// batch is how many plugins the scenario scale starts at once.
const batch = 10

// scale has more and more plugins, up to n.
func (h *host) scale(ctx context.Context, s *Sample) (err error) {
	var plugins []Plugin
	defer func() { err = errors.Join(err, closeAll(plugins)) }()
	for _, want := range []int{1, 10, 50, 100, 200} {
		if want > h.n {
			break
		}
		begin, own, had := time.Now(), cpu(syscall.RUSAGE_SELF), len(plugins)
		for len(plugins) < want {
			more, err := h.start(ctx, min(batch, want-len(plugins)))
			plugins = append(plugins, more...)
			if err != nil {
				return err
			}
		}
		n := time.Duration(want - had)
		step := Step{Plugins: want, Start: time.Since(begin) / n, HostCPU: (cpu(syscall.RUSAGE_SELF) - own) / n}
		begin = time.Now()
		for _, p := range plugins {
			if err := p.Put(ctx, "key", []byte("value")); err != nil {
				return err
			}
		}
		step.Call = time.Since(begin) / time.Duration(want)
		runtime.GC()
		debug.FreeOSMemory()
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		step.Live, step.Goroutines = mem.HeapAlloc+mem.StackInuse, runtime.NumGoroutine()
		if step.Resident, _, err = proc.Memory(os.Getpid()); err != nil {
			return err
		}
		files, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return err
		}
		step.Files = len(files)
		s.Steps = append(s.Steps, step)
	}
	return nil
}
