package plugintest

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

// runner is a host.Runner whose processes are goroutines in this process.
type runner struct {
	config  plugin.ServeConfig
	network *memory
	count   atomic.Uint64
}

func (r *runner) Run(_ context.Context, launch *host.Launch) (host.Process, error) {
	p := &process{network: r.network, id: strconv.FormatUint(r.count.Add(1), 10), done: make(chan struct{})}
	stdout, toStdout := io.Pipe()
	stderr, toStderr := io.Pipe()
	p.stdout, p.stderr = stdout, stderr
	config := r.config
	config.Process = &plugin.Process{Env: launch.Env, Stdout: toStdout, Stderr: toStderr}
	// The launch's context ends with the launch.
	ctx, kill := context.WithCancel(context.Background())
	p.kill = kill
	go func() {
		defer close(p.done)
		defer kill()
		if p.err = plugin.ServeContext(ctx, &config); p.err != nil {
			fmt.Fprintln(toStderr, p.err)
		}
		toStdout.Close()
		toStderr.Close()
	}()
	return p, nil
}

// process is a plugin that runs in this process.
type process struct {
	host.SameAddresses
	network        *memory
	id             string
	stdout, stderr *io.PipeReader
	kill           context.CancelFunc
	done           chan struct{} // closed when the plugin has ended
	err            error         // how it has ended; set before done is closed
}

func (p *process) Name() string                    { return "plugintest" }
func (p *process) ID() string                      { return p.id }
func (p *process) Stdout() io.ReadCloser           { return p.stdout }
func (p *process) Stderr() io.ReadCloser           { return p.stderr }
func (p *process) Diagnose(context.Context) string { return "" }

func (p *process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Kill ends the plugin and all its connections at once, as the end of a process does,
// except for handlers that ignore their contexts: nothing can end a goroutine.
func (p *process) Kill(context.Context) error {
	p.kill()
	p.network.cut()
	return nil
}
