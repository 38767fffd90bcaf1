package scenario

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
)

// fake is a library whose plugins are all this process.
type fake struct {
	running, started atomic.Int64
	fail             bool // calls fail
}

func (f *fake) Start(context.Context, string, Mode) (Plugin, error) {
	f.running.Add(1)
	f.started.Add(1)
	return fakePlugin{f}, nil
}

type fakePlugin struct{ f *fake }

func (fakePlugin) PID() int { return os.Getpid() }

func (p fakePlugin) Put(context.Context, string, []byte) error {
	if p.f.fail {
		return errors.New("no")
	}
	return nil
}

func (p fakePlugin) Close() error {
	p.f.running.Add(-1)
	return nil
}

func TestScenarios(t *testing.T) {
	const n = 12
	for name, c := range map[string]struct {
		run      func(*host, context.Context, *Sample) error
		started  int64
		complete func(*Sample) bool
	}{
		"fresh":    {(*host).fresh, 2, func(s *Sample) bool { return s.First > 0 && s.Second > 0 && s.FromExec > 0 && len(s.Close) == 2 }},
		"warm":     {(*host).warm, n + 1, func(s *Sample) bool { return len(s.Warm) == n && len(s.Close) == n }},
		"many":     {(*host).many, n + 1, func(s *Sample) bool { return s.AtOnce > 0 && s.CloseAll > 0 }},
		"idle":     {(*host).idle, 1, func(s *Sample) bool { return s.HostResident > 0 && s.PluginResident > 0 }},
		"stubborn": {(*host).stubborn, 1, func(s *Sample) bool { return len(s.Close) == 1 }},
		"scale": {(*host).scale, 10, func(s *Sample) bool {
			return len(s.Steps) == 2 && s.Steps[1].Plugins == 10 && s.Steps[1].Resident > 0 && s.Steps[1].Files > 0
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f, s := &fake{}, &Sample{}
			if err := c.run(&host{library: f, n: n}, t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if f.started.Load() != c.started || f.running.Load() != 0 {
				t.Errorf("%d plugins were started and %d of them not ended; want %d and none", f.started.Load(), f.running.Load(), c.started)
			}
			if !c.complete(s) {
				t.Errorf("something is missing: %+v", s)
			}
			f = &fake{fail: true}
			if err := c.run(&host{library: f, n: n}, t.Context(), &Sample{}); (err == nil) != (name == "stubborn") {
				t.Errorf("with a plugin that does not answer: %v", err)
			}
			if f.running.Load() != 0 {
				t.Errorf("%d plugins that do not answer were not ended", f.running.Load())
			}
		})
	}
}
