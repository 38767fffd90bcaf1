package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"

	"github.com/tenonrpc/tenon/plugin/host"
)

var (
	// ErrGroupClosed is the error of Group.Start, and wrapped by that of StartAll,
	// after Shutdown, Close or Kill. It is also the cause for which these cancel starts
	// in progress.
	ErrGroupClosed = errors.New("fleet: the group is closed")
	// ErrNameTaken is wrapped by the error of Group.Start if a plugin of that name is
	// running or being started.
	ErrNameTaken = errors.New("the group already has a plugin of that name")
)

// Group is a set of named plugins that end together. Its zero value is empty and ready
// for use; a Group must not be copied. Its methods may be called by several goroutines
// at once.
type Group struct {
	mu      sync.Mutex
	closed  bool               // guarded by mu
	members map[string]*member // guarded by mu
}

// member is a plugin of a group.
type member struct {
	cancel context.CancelFunc // ends its Start
	ready  chan struct{}      // closed when Start has returned
	client *host.Client       // set before ready is closed; nil if Start failed
}

// ended reports whether the plugin has ended, or could not be started.
func (m *member) ended() bool {
	select {
	case <-m.ready:
	default:
		return false
	}
	if m.client == nil {
		return true
	}
	select {
	case <-m.client.Done():
		return true
	default:
		return false
	}
}

// Start is host.Start for a plugin of this name. It fails with ErrNameTaken if a plugin
// of this name is running or being started, and with ErrGroupClosed if the group is
// closed. A start that is in progress when the group is closed is cancelled. When a
// plugin has ended, its name is free again: whoever starts it anew waits for Client.Done
// first, which comes a moment after Client.Err is set.
func (g *Group) Start(ctx context.Context, name string, config *host.Config) (*host.Client, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m := &member{
		cancel: func() { cancel(ErrGroupClosed) },
		ready:  make(chan struct{}),
	}
	if err := g.add(name, m); err != nil {
		return nil, err
	}
	c, err := host.Start(ctx, config)
	m.client = c
	close(m.ready)
	if err != nil {
		g.remove(name, m)
		return nil, err
	}
	return c, nil
}

func (g *Group) add(name string, m *member) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrGroupClosed
	}
	if other := g.members[name]; other != nil && !other.ended() {
		return fmt.Errorf("fleet: %w: %q", ErrNameTaken, name)
	}
	if g.members == nil {
		g.members = make(map[string]*member)
	}
	g.members[name] = m
	return nil
}

func (g *Group) remove(name string, m *member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.members[name] == m {
		delete(g.members, name)
	}
}

// StartAll starts several plugins, by name: at most four at once, or as many as there
// are processors (GOMAXPROCS) if that is more. If one cannot be started, the other
// starts are cancelled, the plugins that StartAll has started are closed, and the error
// joins the failures, with the plugins' names.
func (g *Group) StartAll(ctx context.Context, configs map[string]*host.Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		all     sync.WaitGroup
		mu      sync.Mutex
		started []*host.Client       // guarded by mu
		errs    = map[string]error{} // guarded by mu
		slots   = make(chan struct{}, max(minStarts, runtime.GOMAXPROCS(0)))
	)
	for name, config := range configs {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			c, err := g.Start(ctx, name, config)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				started = append(started, c)
				return
			}
			// The first failure is the reason for those that follow.
			if len(errs) == 0 || !errors.Is(err, context.Canceled) {
				errs[name] = err
			}
			cancel()
		})
	}
	all.Wait()
	if len(errs) == 0 {
		return nil
	}
	for _, c := range started {
		all.Go(func() { c.Close() })
	}
	all.Wait()
	return joinNamed(errs)
}

// joinNamed joins errors in the order of the names they belong to.
func joinNamed(errs map[string]error) error {
	var list []error
	for _, name := range slices.Sorted(maps.Keys(errs)) {
		if errs[name] != nil {
			list = append(list, fmt.Errorf("plugin %q: %w", name, errs[name]))
		}
	}
	return errors.Join(list...)
}

// Client returns the plugin of this name, or nil if there is none or it is still being
// started. The plugin may have ended.
func (g *Group) Client(name string) *host.Client {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.members[name]
	if m == nil {
		return nil
	}
	select {
	case <-m.ready:
		return m.client
	default:
		return nil
	}
}

// Names returns the names of the running plugins, sorted.
func (g *Group) Names() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var names []string
	for name, m := range g.members {
		select {
		case <-m.ready:
			if !m.ended() {
				names = append(names, name)
			}
		default:
		}
	}
	slices.Sort(names)
	return names
}

// Shutdown closes the group: nothing can be started in it any more, starts in progress
// are cancelled, and all plugins are shut down concurrently, as by
// host.Client.Shutdown. The error joins theirs, with their names. It may be called
// again.
func (g *Group) Shutdown(ctx context.Context) error {
	return g.endAll(func(c *host.Client) error { return c.Shutdown(ctx) })
}

// Close is Shutdown with each plugin's own StopTimeout. It may be deferred, and called
// any number of times.
func (g *Group) Close() error { return g.endAll((*host.Client).Close) }

// Kill is Shutdown with SIGKILL at once, as by host.Client.Kill.
func (g *Group) Kill() {
	g.endAll(func(c *host.Client) error { c.Kill(); return nil })
}

func (g *Group) endAll(end func(*host.Client) error) error {
	g.mu.Lock()
	g.closed = true
	members := maps.Clone(g.members)
	g.mu.Unlock()
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		errs = map[string]error{} // guarded by mu
	)
	for name, m := range members {
		all.Go(func() {
			m.cancel()
			<-m.ready
			if m.client == nil {
				return
			}
			err := end(m.client)
			mu.Lock()
			defer mu.Unlock()
			errs[name] = err
		})
	}
	all.Wait()
	return joinNamed(errs)
}
