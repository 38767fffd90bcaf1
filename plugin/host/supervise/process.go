package supervise

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/host"
)

// running is what the supervisor uses of a *host.Client; tests have another.
type running interface {
	Conn() *h2grpc.ClientConn
	Done() <-chan struct{}
	Err() error
	ExitStatus() host.ExitStatus
	PID() int
	Version() int
	Ping(context.Context) error
	Shutdown(context.Context) error
	Kill()
}

// retired is added to process.calls when the process gets no further calls.
const retired = 1 << 40

// process is one process of the plugin.
type process struct {
	running
	number int
	config *host.Config
	ready  time.Time // when it became ready

	calls   atomic.Int64  // in progress; retired is added once
	begun   atomic.Uint64 // calls that have begun
	once    sync.Once     // closes drained
	drained chan struct{} // closed when it is retired and the last call has ended
}

// enter counts a call that begins. It reports false if the process takes none.
func (p *process) enter() bool {
	if p.calls.Add(1) >= retired {
		p.leave()
		return false
	}
	p.begun.Add(1)
	return true
}

// leave counts a call that has ended.
func (p *process) leave() {
	if p.calls.Add(-1) == retired {
		p.once.Do(func() { close(p.drained) })
	}
}

// retire makes enter fail from now on.
func (p *process) retire() {
	if p.calls.Add(retired) == retired {
		p.once.Do(func() { close(p.drained) })
	}
}

// retireIdle is retire, unless there are calls.
func (p *process) retireIdle() bool {
	if !p.calls.CompareAndSwap(0, retired) {
		return false
	}
	p.once.Do(func() { close(p.drained) })
	return true
}

// inProgress returns the number of calls in progress.
func (p *process) inProgress() int { return int(p.calls.Load() % retired) }

// over reports whether the process has ended or takes no calls any more.
func (p *process) over() bool {
	return p.calls.Load() >= retired || p.Err() != nil || p.ended()
}

// ended reports whether the process has ended.
func (p *process) ended() bool {
	select {
	case <-p.Done():
		return true
	default:
		return false
	}
}
