package supervise

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/retry"
)

// loop is the goroutine that starts the processes of a supervisor, one after the other.
// It owns its fields.
type loop struct {
	*Supervisor
	config *host.Config // what the next process is started with
	ever   bool         // a process has been ready
	req    *request     // a replacement that waits for the next start, or nil
}

func (l *loop) run() {
	defer close(l.done)
	asleep := l.cfg.OnDemand
	for l.ctx.Err() == nil {
		if asleep && !l.sleep() {
			break
		}
		exit := l.once()
		if l.ctx.Err() != nil {
			break
		}
		// After a replacement that could not be started, all is as it was before.
		switch {
		case exit.Why == WhyReplaced && l.gaveUp != nil:
			l.set(GaveUp, Event{Process: exit.Process, Exit: &exit, Err: l.gaveUp})
			l.await(nil)
		case exit.Why == WhyReplaced:
		default:
			asleep = exit.Why == WhyIdle
			if exit.failed() {
				l.failed(exit)
			}
		}
	}
	l.req.answer(ErrStopped)
	l.ends.Wait()
	l.rest()
}

// rest says that there is no process, and that none is wanted, unless that was said.
func (l *loop) rest() {
	if l.state != Stopped {
		l.set(Stopped, Event{Process: l.begun()})
	}
}

// begun returns how many processes were begun.
func (s *Supervisor) begun() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.number
}

// sleep waits for a call, or for a replacement. It reports false when the supervisor
// is stopped.
func (l *loop) sleep() bool {
	l.rest()
	select {
	case <-l.demand:
		l.mu.Lock()
		l.demanded = true
		l.mu.Unlock()
		return true
	case l.req = <-l.requests:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// once starts a process and keeps it as long as it, or one that has replaced it, works.
func (l *loop) once() Exit {
	req, config, ctx, stop := l.req, l.config, l.ctx, func() {}
	l.req = nil
	if req != nil {
		if req.config != nil {
			config = req.config
		}
		ctx, stop = l.bounded(req.ctx)
	}
	l.set(Starting, Event{Process: l.begun() + 1})
	p, exit := l.start(ctx, config)
	stop()
	if p == nil {
		l.ended(exit)
		if req != nil {
			// The configuration that was asked for does not work: go on as before.
			req.answer(exit.Err)
			exit.Why = WhyReplaced
		}
		return exit
	}
	l.config = config
	l.ever = true
	if req != nil {
		l.forget()
	}
	return l.keep(p, req)
}

// bounded returns a context that ends with ctx and with the supervisor.
func (s *Supervisor) bounded(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	unlink := context.AfterFunc(s.ctx, cancel)
	return ctx, func() { unlink(); cancel() }
}

// start starts a process and waits until it is healthy.
func (s *Supervisor) start(ctx context.Context, config *host.Config) (*process, Exit) {
	s.mu.Lock()
	s.number++
	exit := Exit{Why: WhyStart, Process: s.number}
	s.mu.Unlock()
	fail := func(err error) (*process, Exit) {
		exit.At, exit.Err = time.Now(), err
		return nil, exit
	}
	for _, n := range s.cfg.Needs {
		if err := n.WaitReady(ctx); err != nil {
			return fail(fmt.Errorf("it needs %s: %w", n.cfg.Name, err))
		}
	}
	r, err := s.launch(ctx, config)
	if err != nil {
		if start, ok := errors.AsType[*host.StartError](err); ok {
			exit.PID, exit.Status = start.PID, start.ExitStatus
		}
		return fail(err)
	}
	p := &process{running: r, number: exit.Process, config: config, drained: make(chan struct{})}
	exit.PID = p.PID()
	if err := s.prepare(ctx, p); err != nil {
		s.end(p, false)
		exit.Status = p.ExitStatus()
		if own := p.Err(); own != nil {
			err = fmt.Errorf("%w (%w)", own, err)
		}
		return fail(err)
	}
	p.ready = time.Now()
	return p, Exit{}
}

// prepare calls Config.Prepare, and waits until the plugin says that it serves.
func (s *Supervisor) prepare(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Health.Startup)
	defer cancel()
	if s.cfg.Prepare != nil {
		client, _ := p.running.(*host.Client)
		// Servers that it starts with this context last as long as the process.
		life, end := context.WithCancel(context.WithoutCancel(ctx))
		go func() { <-p.Done(); end() }()
		unlink := context.AfterFunc(ctx, end)
		defer context.AfterFunc(s.hurry, p.Kill)() // it may hang in a call
		err := s.cfg.Prepare(life, client)
		if !unlink() && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("preparing it: %w", err)
		}
	}
	if s.cfg.Health.Interval < 0 {
		return nil
	}
	for {
		err := s.check(ctx, p)
		if err == nil {
			return nil
		}
		pause := time.NewTimer(startupPause)
		select {
		case <-pause.C:
			continue
		case <-p.Done():
		case <-ctx.Done():
		}
		pause.Stop()
		return err
	}
}

// check asks the plugin whether it works. An answer of a plugin without a health service
// is one.
func (s *Supervisor) check(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Health.Timeout)
	defer cancel()
	err := p.Ping(ctx)
	switch status.Code(err) {
	case codes.Unimplemented, codes.NotFound:
		return nil
	}
	return err
}

// end ends a process: after its calls, unless kill is set.
func (s *Supervisor) end(p *process, kill bool) {
	if p.calls.Load() < retired {
		p.retire()
	}
	if kill {
		p.Kill()
		<-p.Done()
	}
	// Calls that learn of the end of a process a moment later are not to be told that this
	// host has ended it.
	if p.ended() {
		return
	}
	if s.cfg.Drain > 0 {
		t := time.NewTimer(s.cfg.Drain)
		select {
		case <-p.drained:
		case <-p.Done():
		case <-t.C:
		case <-s.hurry.Done():
		}
		t.Stop()
	}
	timeout := p.config.StopTimeout
	if timeout <= 0 {
		timeout = host.DefaultStopTimeout
	}
	ctx, cancel := context.WithTimeout(s.hurry, timeout)
	defer cancel()
	p.Shutdown(ctx)
	<-p.Done()
}

// ended records the end of a process.
func (s *Supervisor) ended(exit Exit) {
	s.mu.Lock()
	s.lastExit = &exit
	if exit.failed() {
		if len(s.exits) == keptExits {
			s.exits = append(s.exits[:0], s.exits[1:]...)
		}
		s.exits = append(s.exits, exit)
	}
	s.mu.Unlock()
	s.emit(Event{State: Exited, Process: exit.Process, PID: exit.PID, Exit: &exit})
}

// forget forgets the failures until now.
func (s *Supervisor) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures, s.exits, s.gaveUp = 0, nil, nil
}

// failed waits until it is time for the next start, or until there is a replacement. If
// there are no further starts, it waits for a replacement alone.
func (l *loop) failed(exit Exit) {
	l.mu.Lock()
	l.failures++
	l.demanded = false
	n := l.failures
	l.mu.Unlock()
	err := l.decide(exit)
	var next <-chan time.Time
	if err != nil || l.cfg.Restart.Failures > 0 && n >= l.cfg.Restart.Failures {
		l.giveUp(exit, err)
	} else {
		wait := l.cfg.Restart.Backoff.Delay(n)
		t := time.NewTimer(wait)
		defer t.Stop()
		next = t.C
		l.set(Restarting, Event{Process: exit.Process, In: wait, Exit: &exit})
	}
	l.await(next)
}

// await waits for the time of the next start, or for a replacement.
func (l *loop) await(next <-chan time.Time) {
	select {
	case <-next:
	case l.req = <-l.requests:
	case <-l.ctx.Done():
	}
}

// decide returns why the plugin is not to be started again, or nil.
func (l *loop) decide(exit Exit) error {
	if errors.Is(exit.Err, ErrDoNotRestart) {
		return exit.Err
	}
	if l.cfg.Restart.Decide != nil {
		return l.cfg.Restart.Decide(exit)
	}
	if start, ok := errors.AsType[*host.StartError](exit.Err); ok && !l.ever && !retry.Helps(start) {
		return exit.Err
	}
	return nil
}

func (l *loop) giveUp(exit Exit, err error) {
	l.mu.Lock()
	l.gaveUp = &GaveUpError{Plugin: l.cfg.Name, Failures: l.failures, Exits: append([]Exit(nil), l.exits...), Err: err}
	gaveUp := l.gaveUp
	l.mu.Unlock()
	l.set(GaveUp, Event{Process: exit.Process, Exit: &exit, Err: gaveUp})
}
