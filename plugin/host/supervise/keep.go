package supervise

import (
	"errors"
	"fmt"
	"time"

	"github.com/tenonrpc/tenon/plugin/host"
)

// keeper keeps a process, and those that replace it, in use. The supervisor's goroutine
// owns its fields.
type keeper struct {
	*loop
	p   *process // takes the calls
	bad int      // checks that failed in a row

	// When to look at p.
	health, memory, idle *time.Ticker
	age, stable, trial   *time.Timer // trial runs while old is kept
	quiet                int         // times in a row that idle found no call
	seen                 uint64      // calls that had begun by the last of them

	// A replacement of p, from its request until the end of its trial.
	replacing *request
	started   chan outcome // gets the new process
	old       *process     // the one before p, while p is on trial
	attempts  int          // replacements that the limits asked for and that failed, in a row
	again     time.Time    // when the limits may ask for the next
}

// outcome is what start returned.
type outcome struct {
	p    *process
	exit Exit
}

// keep returns when neither p nor one that has replaced it works any more. It answers
// the request for which p was started, if any.
func (l *loop) keep(p *process, req *request) Exit {
	k := &keeper{loop: l}
	k.health, k.memory, k.idle = ticker(l.cfg.Health.Interval), ticker(l.cfg.Limits.Interval), ticker(l.cfg.Idle/quietTicks)
	if l.cfg.Limits.Memory == 0 {
		k.memory.Stop()
	}
	k.age, k.stable, k.trial = time.NewTimer(0), time.NewTimer(0), time.NewTimer(0)
	k.trial.Stop()
	defer func() {
		k.health.Stop()
		k.memory.Stop()
		k.idle.Stop()
		k.age.Stop()
		k.stable.Stop()
		k.trial.Stop()
	}()
	k.use(p)
	req.answer(nil)
	for {
		if exit := k.next(); exit != nil {
			return *exit
		}
	}
}

// quietTicks is how many looks at a plugin without calls make it idle.
const quietTicks = 4

// ticker returns a ticker, which never ticks if d is not positive.
func ticker(d time.Duration) *time.Ticker {
	t := time.NewTicker(max(d, 1))
	if d <= 0 {
		t.Stop()
	}
	return t
}

// use gives the calls to p.
func (k *keeper) use(p *process) {
	k.p, k.bad, k.quiet, k.seen = p, 0, 0, 0
	k.stable.Reset(k.cfg.Restart.Stable)
	k.age.Stop()
	if k.cfg.Limits.Age > 0 {
		k.age.Reset(k.cfg.Limits.Age)
	}
	k.current.Store(p)
	k.mu.Lock()
	k.demanded = false
	select {
	case <-k.demand: // those who wait find p
	default:
	}
	k.mu.Unlock()
	k.set(Ready, Event{Process: p.number, PID: p.PID()})
}

// next waits for what happens next. It returns how the plugin ended, or nil if it goes on.
func (k *keeper) next() *Exit {
	requests, age := k.requests, k.age.C
	if k.replacing != nil {
		requests, age = nil, nil // later
	}
	select {
	case <-k.p.Done():
		return k.lost(k.exit(k.p, WhyCrash, k.p.Err()))
	case <-k.health.C:
		return k.checkHealth()
	case <-k.memory.C:
		return k.checkMemory()
	case <-age:
		k.renew(WhyAge)
	case <-k.stable.C:
		k.forget()
	case <-k.idle.C:
		return k.checkIdle()
	case r := <-requests:
		k.replace(r)
	case out := <-k.started:
		k.replaced(out)
	case <-k.trial.C:
		k.settle()
	case <-k.ctx.Done():
		return k.stopped()
	}
	return nil
}

// exit describes the end of a process.
func (k *keeper) exit(p *process, why Why, err error) Exit {
	return Exit{Why: why, At: time.Now(), Process: p.number, PID: p.PID(), Ran: time.Since(p.ready), Status: p.ExitStatus(), Err: err}
}

func (k *keeper) checkHealth() *Exit {
	p := k.p
	err := k.check(k.ctx, p)
	switch {
	case err == nil:
		k.bad = 0
		return nil
	case k.ctx.Err() != nil || p.over():
		return nil // the reason is elsewhere
	}
	if k.bad++; k.bad < k.cfg.Health.Failures {
		return nil
	}
	k.set(Unhealthy, Event{Process: p.number, PID: p.PID(), Err: err})
	if errors.Is(err, host.ErrNotServing) {
		return k.lost(k.exit(k.p, WhyUnhealthy, err))
	}
	return k.lost(k.exit(k.p, WhySilent, err))
}

func (k *keeper) checkMemory() *Exit {
	used := k.p.usage().RSS
	if used < k.cfg.Limits.Memory || time.Now().Before(k.again) {
		return nil
	}
	if time.Since(k.p.ready) < k.cfg.Restart.Stable {
		return k.lost(k.exit(k.p, WhyMemory, fmt.Errorf("it uses %d bytes of memory, of %d that it may", used, k.cfg.Limits.Memory)))
	}
	k.renew(WhyMemory)
	return nil
}

func (k *keeper) checkIdle() *Exit {
	p := k.p
	begun := p.begun.Load()
	if p.inProgress() > 0 || begun != k.seen || k.replacing != nil {
		k.quiet, k.seen = 0, begun
		return nil
	}
	if k.quiet++; k.quiet <= quietTicks { // the first of them is at any time after the last call
		return nil
	}
	k.mu.Lock()
	idle := p.retireIdle()
	k.demanded = idle // a call from now on begins the next start
	k.mu.Unlock()
	if !idle {
		return nil
	}
	k.current.Store(nil)
	exit := k.exit(k.p, WhyIdle, nil)
	k.endWith(p, exit)
	return &exit
}

// lost deals with a process that does not work any more: it is ended, unless it has ended
// by itself, and the one before it or the one after it gets the calls.
func (k *keeper) lost(exit Exit) *Exit {
	p := k.p
	k.current.Store(nil)
	old, started := k.old, k.started
	if old != nil && !old.over() {
		k.background(p, exit)
		k.old = nil
		k.trial.Stop()
		k.use(old)
		k.finish(exit.error("the old one is in use again"))
		return nil
	}
	k.endWith(p, exit)
	k.p = nil
	if started != nil {
		k.set(Starting, Event{Process: k.begun()})
		out := <-started
		k.replaced(out)
		if out.p != nil {
			return nil
		}
	}
	if old != nil { // both have failed
		k.old = nil
		k.trial.Stop()
		k.background(old, k.exit(old, WhyCrash, old.Err()))
		k.finish(exit.error("so has the old one"))
	}
	return &exit
}

// error returns the error of a replacement whose new process has ended so, and what
// became of the old one.
func (e Exit) error(old string) error {
	text := fmt.Sprintf("the new process failed, and %s: process %d %v", old, e.Process, e.Why)
	if e.Err == nil {
		return errors.New(text)
	}
	return fmt.Errorf("%s: %w", text, e.Err)
}

// background ends a process beside the one in use.
func (k *keeper) background(p *process, exit Exit) {
	if p.calls.Load() < retired {
		p.retire()
	}
	k.ends.Go(func() {
		k.endWith(p, exit)
	})
}

// endWith ends a process and records how.
func (k *keeper) endWith(p *process, exit Exit) {
	k.end(p, exit.Why == WhySilent || exit.Why == WhyMemory)
	exit.Status = p.ExitStatus()
	k.ended(exit)
}

// renew replaces a process that has reached a limit by another with the same
// configuration.
func (k *keeper) renew(why Why) {
	if k.replacing == nil {
		k.replace(&request{k.ctx, nil, why, make(chan error, 1)})
	}
}

// replace begins a replacement.
func (k *keeper) replace(r *request) {
	if r.config == nil {
		r.config = k.config
	}
	k.replacing, k.started = r, make(chan outcome, 1)
	started := k.started
	ctx, stop := k.bounded(r.ctx)
	k.emit(Event{State: Starting, Process: k.begun() + 1})
	go func() {
		defer stop()
		p, exit := k.start(ctx, r.config)
		started <- outcome{p, exit}
	}()
}

// replaced gives the calls to a new process, if it could be started.
func (k *keeper) replaced(out outcome) {
	k.started = nil
	if out.p == nil {
		why := k.replacing.why
		k.ended(out.exit)
		k.finish(out.exit.Err)
		if why != WhyReplaced {
			k.attempts++
			wait := k.cfg.Restart.Backoff.Delay(k.attempts)
			k.again = time.Now().Add(wait)
			if why == WhyAge {
				k.age.Reset(wait)
			}
		}
		return
	}
	k.attempts = 0
	old := k.p
	k.use(out.p)
	if old == nil { // it was lost meanwhile: there is nothing to go back to
		k.config = out.p.config
		k.finish(nil)
		return
	}
	k.old = old
	k.trial.Reset(max(k.cfg.Trial, 0))
}

// settle ends a trial: the new process stays, the old one goes.
func (k *keeper) settle() {
	old, why := k.old, k.replacing.why
	k.old = nil
	k.trial.Stop()
	k.config = k.p.config
	if old.ended() {
		why = WhyCrash
	}
	k.background(old, k.exit(old, why, old.Err()))
	k.finish(nil)
}

// finish answers the request for a replacement.
func (k *keeper) finish(err error) {
	k.replacing.answer(err)
	k.replacing = nil
}

// stopped ends all processes.
func (k *keeper) stopped() *Exit {
	k.current.Store(nil)
	exit := k.exit(k.p, WhyStopped, nil)
	k.background(k.p, exit)
	if k.old != nil {
		k.background(k.old, k.exit(k.old, WhyStopped, nil))
	}
	if k.started != nil {
		if out := <-k.started; out.p != nil {
			k.background(out.p, k.exit(out.p, WhyStopped, nil))
		}
	}
	if k.replacing != nil {
		k.finish(ErrStopped)
	}
	k.ends.Wait()
	return &exit
}
