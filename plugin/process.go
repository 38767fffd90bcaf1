package plugin

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/tenonrpc/tenon/wire"
)

// process is what a plugin uses of its process: the real one, or a Process. Apart from
// capture, it is the only place where the package touches process-wide state.
type process struct {
	real   bool
	ends   []os.Signal // signals that end the plugin
	lookup func(name string) (string, bool)
	stdout io.Writer
	stderr io.Writer
}

// realStderr is the process's original stderr once its streams and signals are in use.
// They can serve one plugin, once.
var realStderr atomic.Pointer[os.File]

// stderrOf returns the writer for errors that a person should read.
func stderrOf(p *Process) io.Writer {
	if p != nil {
		return orDiscard(p.Stderr)
	}
	if real := realStderr.Load(); real != nil {
		return real // os.Stderr is a pipe to the host by now
	}
	return os.Stderr
}

func openProcess(p *Process, test bool) (*process, error) {
	if p != nil {
		return &process{lookup: lookupIn(p.Env), stdout: orDiscard(p.Stdout), stderr: orDiscard(p.Stderr)}, nil
	}
	own := &process{real: !test, ends: []os.Signal{syscall.SIGTERM}, lookup: os.LookupEnv, stdout: os.Stdout, stderr: os.Stderr}
	if test {
		own.ends = append(own.ends, os.Interrupt)
	} else if !realStderr.CompareAndSwap(nil, os.Stderr) {
		return nil, errors.New("plugin: a process can serve its host once; set ServeConfig.Process to serve more plugins, as tests do")
	}
	return own, nil
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// lookupIn returns os.LookupEnv for a list of entries.
func lookupIn(env []string) func(string) (string, bool) {
	return func(name string) (value string, ok bool) {
		for _, entry := range env {
			if n, v, found := strings.Cut(entry, "="); found && n == name {
				value, ok = v, true
			}
		}
		return value, ok
	}
}

// environ reads the protocol's variables. They are removed from the real environment, so
// that programs that the plugin starts do not take them for their own: a leaked
// certificate or socket directory breaks a plugin that this plugin starts.
func (p *process) environ() (wire.Env, error) {
	env, err := wire.ParseEnv(p.lookup)
	if p.real {
		for _, name := range wire.EnvNames() {
			os.Unsetenv(name)
		}
	}
	return env, err
}

// signals are the signals that a plugin catches.
type signals struct {
	end  chan os.Signal // receives the first signal that is to end the plugin, such as SIGTERM
	safe chan struct{}  // closed when no signal can leave a socket behind any more
	all  chan struct{}  // closed when SIGINT has no effect any more, either
}

// catch begins to catch signals, in the background: the runtime needs several thread
// switches for each.
//
// SIGPIPE, which is sent when the plugin prints and its host is gone, and SIGINT have no
// effect for the rest of the process's life. Unlike an ignored signal, a caught one has
// its default effect in programs that the plugin starts. Nothing reads their channel; the
// runtime does not wait for room in it.
func (p *process) catch() *signals {
	s := &signals{make(chan os.Signal, 1), make(chan struct{}), make(chan struct{})}
	go func() {
		if len(p.ends) > 0 { // an empty list would mean all
			signal.Notify(s.end, p.ends...)
		}
		swallowed := make(chan os.Signal, 1)
		if p.real {
			catchBreak(s.end)
			signal.Notify(swallowed, syscall.SIGPIPE)
		}
		close(s.safe)
		if p.real {
			signal.Notify(swallowed, os.Interrupt)
		}
		close(s.all)
	}()
	return s
}

// letGo gives the signals that end the plugin their default effect again, so that a
// second one ends a plugin that hangs. It may be called more than once.
func (s *signals) letGo() {
	<-s.all
	signal.Stop(s.end)
}
