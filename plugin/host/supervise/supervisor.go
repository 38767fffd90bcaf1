package supervise

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tenonrpc/tenon/plugin/host"
)

// Supervisor keeps one plugin running. It is an [h2grpc.ClientConnInterface], so that
// generated clients are made on it once and live through restarts. Its methods may be
// called by several goroutines at once.
type Supervisor struct {
	cfg    *Config
	launch func(context.Context, *host.Config) (running, error)

	ctx    context.Context // ends with Stop: nothing is started any more
	cancel context.CancelFunc
	hurry  context.Context // ends when Stop's context does: nothing is waited for any more
	now    context.CancelFunc

	current  atomic.Pointer[process] // takes the calls; nil if there is none
	requests chan *request           // from Replace
	demand   chan struct{}           // has a value if a call waits for a process
	ends     sync.WaitGroup          // processes that are being ended beside another
	done     chan struct{}           // closed when everything has ended

	mu       sync.Mutex
	changed  chan struct{} // closed, and replaced, when what follows changes
	state    State
	since    time.Time
	stopping bool
	demanded bool // the start in progress was begun by a call
	number   int  // of processes begun
	failures int  // in a row
	exits    []Exit
	lastExit *Exit
	gaveUp   *GaveUpError
	events   events
}

// request is a replacement that was asked for.
type request struct {
	ctx    context.Context // bounds the start of the new process
	config *host.Config
	why    Why
	done   chan error // takes one value
}

func (r *request) answer(err error) {
	if r != nil {
		r.done <- err
	}
}

// Start begins to keep a plugin running, and returns at once: WaitReady waits until it
// can be used, and so do calls. The error is a mistake in config. The caller must end it
// with Stop or Close.
func Start(config *Config) (*Supervisor, error) {
	return begin(config, func(ctx context.Context, c *host.Config) (running, error) {
		client, err := host.Start(ctx, c)
		if err != nil {
			return nil, err
		}
		return client, nil
	})
}

func begin(config *Config, launch func(context.Context, *host.Config) (running, error)) (*Supervisor, error) {
	cfg, err := config.checked()
	if err != nil {
		return nil, fmt.Errorf("supervise: %w", err)
	}
	s := &Supervisor{
		cfg: cfg, launch: launch,
		requests: make(chan *request), demand: make(chan struct{}, 1), done: make(chan struct{}),
		changed: make(chan struct{}), since: time.Now(),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.hurry, s.now = context.WithCancel(context.Background())
	if !cfg.OnDemand {
		s.state = Starting
	}
	go (&loop{Supervisor: s, config: cfg.Host}).run()
	return s, nil
}

// WaitReady waits until a process takes calls. With OnDemand it starts one. It fails
// when ctx ends, with a *GaveUpError if the supervisor gives up, and with ErrStopped.
func (s *Supervisor) WaitReady(ctx context.Context) error {
	for {
		p, err := s.enter(ctx, false)
		if err != nil {
			return err
		}
		p.leave()
		if !p.over() {
			return nil
		}
		s.current.CompareAndSwap(p, nil)
	}
}

// Client returns the present process, or nil if there is none. It must not be ended or
// let go, and may end at any time. It is for what a connection is not enough for: the
// broker, and host.Dispense. Config.Prepare is called with each process.
func (s *Supervisor) Client() *host.Client {
	if p := s.current.Load(); p != nil {
		c, _ := p.running.(*host.Client)
		return c
	}
	return nil
}

// Replace replaces the plugin's process by one that is started with config, or with the
// present configuration if that is nil, without a gap: the new process is started and
// checked, then it gets the calls. For Config.Trial both run; if the new one ends or is
// unhealthy in that time, the old one gets the calls again, and Replace fails. After
// that the old one is ended when its calls have ended, or after Config.Drain, and config
// is what the plugin is started with from then on. If the new process cannot be started,
// nothing changes.
//
// Without a process (while restarting, or after the supervisor gave up) the start is
// made at once, and the failures until then are forgotten if it succeeds. Replacements
// are made one after the other. If ctx ends before the new process gets the calls, the
// replacement is given up; after that it goes on.
func (s *Supervisor) Replace(ctx context.Context, config *host.Config) error {
	if err := s.replace(ctx, config); err != nil {
		return fmt.Errorf("supervise: replacing %s: %w", s.cfg.Name, err)
	}
	return nil
}

func (s *Supervisor) replace(ctx context.Context, config *host.Config) error {
	if config != nil {
		if err := startable(config); err != nil {
			return err
		}
	}
	r := &request{ctx, config, WhyReplaced, make(chan error, 1)}
	select {
	case s.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return ErrStopped
	}
	var end error
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		end = ctx.Err()
	case <-s.done:
		end = ErrStopped
	}
	select {
	case err := <-r.done: // the answer counts, if there is one
		return err
	default:
		return end
	}
}

// Stop ends the plugin: no call begins any more, those in progress have Config.Drain to
// end, then the process is shut down. It returns when everything has ended. When ctx
// ends, what is left is killed at once; but Stop waits for a Config.Prepare that does not
// return. The error is that of ctx, if it did.
func (s *Supervisor) Stop(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	s.wake()
	s.mu.Unlock()
	s.cancel()
	defer context.AfterFunc(ctx, s.now)()
	<-s.done
	select {
	case <-s.hurry.Done():
		return ctx.Err()
	default:
		return nil
	}
}

// Close is Stop with no bound but Config.Drain and the StopTimeout of Config.Host. It may
// be deferred, and called any number of times.
func (s *Supervisor) Close() error { return s.Stop(context.Background()) }

// StopAll stops supervisors, those that need others before those that they need, and
// otherwise together.
func StopAll(ctx context.Context, list ...*Supervisor) error {
	var all sync.WaitGroup
	errs := make([]error, len(list))
	for i, s := range list {
		all.Go(func() {
			for _, other := range list {
				if other.needs(s) {
					<-other.done
				}
			}
			errs[i] = s.Stop(ctx)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// needs reports whether s needs other, itself or through others. Needs has no circles,
// because a Config lists supervisors that there are already.
func (s *Supervisor) needs(other *Supervisor) bool {
	for _, n := range s.cfg.Needs {
		if n == other || n.needs(other) {
			return true
		}
	}
	return false
}

// Status describes the plugin at this moment.
func (s *Supervisor) Status() Status {
	s.mu.Lock()
	st := Status{
		Plugin: s.cfg.Name, State: s.state, Since: s.since,
		Process: s.number, Restarts: max(s.number-1, 0), Failures: s.failures, LastExit: s.lastExit,
	}
	s.mu.Unlock()
	if p := s.current.Load(); p != nil {
		st.Process, st.PID, st.Version, st.Calls = p.number, p.PID(), p.Version(), p.inProgress()
		st.Usage = p.usage()
	}
	return st
}

// usage returns what the process uses, or zero if it has ended: its id may be another's.
func (p *process) usage() Usage {
	pid := p.PID()
	if pid == 0 {
		return Usage{}
	}
	u := usageOf(pid)
	if p.ended() {
		return Usage{}
	}
	return u
}

// set changes the state, and emits e for it.
func (s *Supervisor) set(state State, e Event) {
	s.mu.Lock()
	s.state, s.since = state, time.Now()
	s.wake()
	s.mu.Unlock()
	e.State = state
	s.emit(e)
}

// wake lets the calls that wait look again. The caller holds s.mu.
func (s *Supervisor) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}
