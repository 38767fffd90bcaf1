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

// process is what a plugin uses of its process: the real thing, or a Process.
// It is the only place where the package touches what belongs to the process
// as a whole, together with output.capture.
type process struct {
	real   bool
	ends   []os.Signal // signals that end the plugin
	lookup func(name string) (string, bool)
	stdout io.Writer
	stderr io.Writer
}

// realStderr is the process's own stderr once its streams and signals are in
// use, which can serve one plugin, once.
var realStderr atomic.Pointer[os.File]

// stderrOf returns where a human reads what went wrong.
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
	if p == nil && test {
		return &process{
			ends:   []os.Signal{syscall.SIGTERM, os.Interrupt},
			lookup: os.LookupEnv, stdout: os.Stdout, stderr: os.Stderr,
		}, nil
	}
	if p != nil {
		return &process{lookup: lookupIn(p.Env), stdout: orDiscard(p.Stdout), stderr: orDiscard(p.Stderr)}, nil
	}
	if !realStderr.CompareAndSwap(nil, os.Stderr) {
		return nil, errors.New("plugin: a process can serve its host once; set ServeConfig.Process to serve more plugins, as tests do")
	}
	return &process{
		real: true, ends: []os.Signal{syscall.SIGTERM},
		lookup: os.LookupEnv, stdout: os.Stdout, stderr: os.Stderr,
	}, nil
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// lookupIn has the rules of os.LookupEnv for a list of entries.
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

// environ reads what the host says in the environment. The protocol's
// variables are removed from the real one, so that the programs that a plugin
// starts do not take them for theirs: a leaked certificate or socket directory
// breaks a plugin of the plugin's.
func (p *process) environ() (wire.Env, error) {
	env, err := wire.ParseEnv(p.lookup)
	if p.real {
		for _, name := range wire.EnvNames() {
			os.Unsetenv(name)
		}
	}
	return env, err
}

// terminated returns a channel that receives the first signal that is to end
// the plugin, which is SIGTERM. After that it has its usual effect again: a
// second one ends a plugin that hangs.
func (p *process) terminated() (first <-chan os.Signal, stop func()) {
	ch := make(chan os.Signal, 1)
	if len(p.ends) > 0 { // none would mean all
		signal.Notify(ch, p.ends...)
	}
	return ch, func() { signal.Stop(ch) }
}

// swallow takes a signal's effect from it for the rest of the process's life.
// Unlike an ignored signal, a caught one is back to normal in the programs that
// the plugin starts. Nobody reads the channel; the runtime does not wait for
// room in it.
func (p *process) swallow(sig os.Signal) {
	if p.real {
		signal.Notify(make(chan os.Signal, 1), sig)
	}
}
