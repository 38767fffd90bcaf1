package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/retry"
)

// Config says how a plugin is kept running. Start copies it; Host must not be changed
// while the Supervisor is in use. The zero value of everything but Host is useful.
type Config struct {
	// Host is how each process of the plugin is started. Detach and Reattach are errors:
	// a supervisor ends what it has started.
	Host *host.Config
	// Name names the plugin in events, errors and logs. Empty means the file name of
	// Host.Cmd, or "plugin".
	Name string

	// Prepare is called with each new process before it gets calls: to configure the
	// plugin, or to serve it through Client.Broker again. ctx ends with the process, so
	// that servers begun with it last as long; and after Health.Startup, if Prepare has
	// not returned by then. An error ends the process, and counts as a failure; one that
	// wraps ErrDoNotRestart is the last. Nil means that there is nothing to prepare. It
	// must return when ctx ends, and must not use the Supervisor, which waits for it.
	Prepare func(ctx context.Context, c *host.Client) error
	// Needs lists supervisors whose plugins must be ready before this one is started,
	// each time. It must not be changed later.
	Needs []*Supervisor

	// Restart says when a plugin that has ended is started again.
	Restart Restart
	// Health says how often a plugin is asked whether it works, and what follows.
	Health Health
	// Limits says when a working plugin is replaced by a new process.
	Limits Limits

	// OnDemand starts the plugin with the first call instead of at once.
	OnDemand bool
	// Idle, if positive, is how long the plugin may be without calls before it is ended.
	// The next call starts it again.
	Idle time.Duration

	// FailFast lets calls fail with UNAVAILABLE while there is no process to take them.
	// Otherwise they wait for one, as long as their contexts allow. Supervisor.FailFast
	// and Supervisor.Waiting choose for some calls. A call that starts the plugin
	// (OnDemand, Idle) waits for it either way.
	FailFast bool
	// Drain is how long calls in progress may go on when their process is to be ended.
	// Zero means ten seconds; a negative value means not at all.
	Drain time.Duration
	// Trial is how long the old process is kept beside a new one that replaces it, to be
	// returned to if the new one ends or is unhealthy. Zero means ten seconds; a negative
	// value means not at all.
	Trial time.Duration

	// Event, if set, is called with each event, in their order and one at a time, by a
	// goroutine of its own. The supervisor never waits for it: of events that it is slow
	// to take, the oldest are dropped (Event.Missed), and the last may come after Stop
	// has returned.
	Event func(Event)
}

// Restart says when a plugin that has ended is started again.
type Restart struct {
	// Backoff is how long to wait before each start, by the number of failures in a row.
	Backoff retry.Backoff
	// Failures is how many failures in a row are the end: the supervisor gives up. Zero
	// means ten; a negative value means that it never does.
	Failures int
	// Stable is how long a process must have been ready for the failures before it to be
	// forgotten. Zero means a minute. Until then they count, so that a plugin that
	// works for a moment after each start does not restart for ever.
	Stable time.Duration
	// Decide, if set, is called with each failure. An error makes the supervisor give up
	// with it: because of the exit status, for example. It is called by the goroutine
	// that starts the plugin, must return soon, and must not stop it, replace it or make
	// calls on it. Nil means that a first start that trying again cannot help
	// (retry.Helps) is the end, and that otherwise the plugin is started again, whatever
	// its exit status.
	Decide func(Exit) error
}

// Health says how a plugin is watched. It is asked by its health service, as by
// Client.Ping.
type Health struct {
	// Interval is the time between two checks. Zero means ten seconds; a negative value
	// means that none are made.
	Interval time.Duration
	// Timeout bounds one check. Zero means five seconds.
	Timeout time.Duration
	// Failures is how many failed checks in a row make the plugin unhealthy: it gets no
	// further calls and is started anew. If it does not answer at all, it is killed.
	// Zero means three.
	Failures int
	// Startup bounds the time from the connection to the first good check, with
	// Config.Prepare. Zero means a minute.
	Startup time.Duration
}

// Limits says when a working plugin is replaced by a new process, as by
// [Supervisor.Replace]. Zeros mean no limit.
type Limits struct {
	// Memory limits the resident memory of the plugin's process, in bytes, without its
	// children. Where the system does not tell (see Status.Usage), it is an error. A
	// plugin that reaches it before Restart.Stable has failed: it is ended first.
	Memory int64
	// Age limits how long a process runs. If its replacement cannot be started, the start
	// is tried again by Restart.Backoff; if it fails on trial, after another Age.
	Age time.Duration
	// Interval is the time between two looks at the memory. Zero means five seconds.
	Interval time.Duration
}

// checked returns a copy with the defaults, or what is wrong with c.
func (c *Config) checked() (*Config, error) {
	if c == nil || c.Host == nil {
		return nil, errors.New("Config.Host is not set")
	}
	d := *c
	if err := startable(d.Host); err != nil {
		return nil, fmt.Errorf("Config.Host: %w", err)
	}
	if d.Name == "" {
		d.Name = "plugin"
		if d.Host.Cmd != nil && d.Host.Cmd.Path != "" {
			d.Name = filepath.Base(d.Host.Cmd.Path)
		}
	}
	for i, n := range d.Needs {
		if n == nil {
			return nil, fmt.Errorf("Config.Needs[%d] is nil", i)
		}
	}
	if err := d.Restart.Backoff.Validate(); err != nil {
		return nil, fmt.Errorf("Config.Restart.Backoff: %w", err)
	}
	for name, v := range map[string]int64{
		"Idle": int64(d.Idle), "Restart.Stable": int64(d.Restart.Stable), "Health.Timeout": int64(d.Health.Timeout),
		"Health.Failures": int64(d.Health.Failures), "Health.Startup": int64(d.Health.Startup),
		"Limits.Memory": d.Limits.Memory, "Limits.Age": int64(d.Limits.Age), "Limits.Interval": int64(d.Limits.Interval),
	} {
		if v < 0 {
			return nil, fmt.Errorf("%s is negative", "Config."+name)
		}
	}
	if d.Limits.Memory > 0 && !tellsUsage {
		return nil, errors.New("a limit is set in Config.Limits.Memory, and this system does not tell how much memory another process uses")
	}
	d.setDefaults()
	return &d, nil
}

// startable returns an error for a configuration of processes that a supervisor may not
// end, or has not started.
func startable(c *host.Config) error {
	if c.Detach || c.Reattach != nil {
		return errors.New("it has Detach or Reattach, and a supervisor ends what it has started")
	}
	return nil
}

func (c *Config) setDefaults() {
	or := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	or(&c.Drain, defaultDrain)
	or(&c.Trial, defaultTrial)
	or(&c.Restart.Stable, defaultStable)
	or(&c.Health.Interval, defaultInterval)
	or(&c.Health.Timeout, defaultTimeout)
	or(&c.Health.Startup, defaultStartup)
	or(&c.Limits.Interval, defaultLook)
	if c.Restart.Failures == 0 {
		c.Restart.Failures = defaultFailures
	}
	if c.Health.Failures == 0 {
		c.Health.Failures = defaultUnhealthy
	}
}

// logger returns where the supervisor's own records go.
func (c *Config) logger() *slog.Logger {
	if c.Host.Logger != nil {
		return c.Host.Logger
	}
	return slog.Default()
}
