package plugin

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/internal/poll"
	"github.com/tenonrpc/tenon/wire"
)

// hostWatch detects that the host is gone, so that its plugin does not outlive it. There
// are two ways.
//
// A host built with this module keeps the write end of a pipe, the lifeline, and passes
// the read end to the plugin. The pipe ends when the host does, however that happens, and
// even if a shell or a wrapper stands between the two.
//
// Other hosts have no such pipe. Two signs show their end: nothing reads the plugin's
// stdout and stderr any more, or the parent process has changed. Each can have harmless
// causes: some hosts close the streams once they have the handshake, and a launcher may
// exit after it has started the plugin. So a sign counts only while no host is connected,
// and only after hostGrace. A parent of 1 or 0 at the start is no sign: the host may be
// the first process of a container, or be outside the plugin's container. The streams are
// watched only on Linux.
//
// Linux has PR_SET_PDEATHSIG for this purpose, but it follows the thread that started the
// plugin, not the process, and a Go host's threads come and go.
type hostWatch struct {
	gone      chan struct{} // closed when the host is gone
	onGone    func()        // called then
	following bool          // there is a lifeline

	mu sync.Mutex
	// guarded by mu
	over     bool        // gone is closed, or the watch has been stopped
	conns    int         // open connections to the main listener
	orphaned bool        // a sign has been seen
	grace    *time.Timer // runs while orphaned without connections
	stops    []func()    // free what the watch uses
}

// watchHost begins to watch. With outlive, or if the process is not real, the host never
// counts as gone. onGone must not block.
func (p *process) watchHost(env wire.Env, outlive bool, log Logger, onGone func()) *hostWatch {
	w := &hostWatch{gone: make(chan struct{}), onGone: onGone}
	// The lifeline's descriptor must not stay open for the plugin's children to inherit,
	// whether it is watched or not.
	pipe, err := p.lifeline(env)
	switch {
	case err != nil:
		log.Warn("the host's lifeline cannot be used", "err", err)
	case pipe == nil:
	case outlive:
		pipe.Close()
	default:
		w.follow(pipe)
		return w
	}
	if p.real && !outlive && env.Lifeline != wire.LifelineNone {
		w.lookForSigns()
	}
	return w
}

// lifeline opens the pipe named in the environment, and returns nil if there is none.
func (p *process) lifeline(env wire.Env) (*os.File, error) {
	if !p.real || env.Lifeline == "" || env.Lifeline == wire.LifelineNone {
		return nil, nil
	}
	l, err := wire.ParseLifeline(env.Lifeline)
	if err != nil {
		return nil, err
	}
	return openLifeline(l)
}

// follow waits for the lifeline's end.
func (w *hostWatch) follow(pipe *os.File) {
	w.following = true
	w.stops = append(w.stops, func() { pipe.Close() })
	go func() {
		buf := make([]byte, 64)
		for {
			// Hosts write nothing so far. If one does some day, that is not the end.
			if _, err := pipe.Read(buf); err != nil {
				if !errors.Is(err, os.ErrClosed) {
					w.declare()
				}
				return
			}
		}
	}()
}

// The signs that lookForSigns waits for. The streams are identified by their descriptors,
// because os.Stdout and os.Stderr may have been replaced already.
const (
	signStdout = 1
	signStderr = 2
	signParent = 3
)

// lookForSigns begins to look for signs that the host is gone.
func (w *hostWatch) lookForSigns() {
	parent := os.Getppid()
	poller, err := poll.New()
	if err != nil {
		w.watchParent(parent)
		return
	}
	w.stops = append(w.stops, func() { poller.Close() })
	streams := make(map[int]bool) // those that still have a reader
	for _, fd := range []int{signStdout, signStderr} {
		if poller.AddPeer(fd, fd) == nil {
			streams[fd] = true
		}
	}
	if parent > 1 {
		proc, err := os.FindProcess(parent)
		if err == nil {
			err = poller.AddProcess(proc, signParent)
		}
		if err != nil {
			w.watchParent(parent)
		} else if os.Getppid() != parent { // it ended before it was found
			w.orphan()
		}
	}
	go w.pollSigns(poller, streams)
}

// pollSigns waits for signs until the poller is closed.
func (w *hostWatch) pollSigns(poller *poll.Poller, streams map[int]bool) {
	for {
		ids, err := poller.Wait()
		if err != nil {
			return
		}
		for _, id := range ids {
			if id == signParent {
				w.orphan()
				continue
			}
			delete(streams, id)
			// The application may since have redirected the other stream to a file, which
			// needs no reader.
			for fd := range streams {
				if err := poller.AddPeer(fd, fd); err != nil && !errors.Is(err, syscall.EEXIST) {
					delete(streams, fd)
				}
			}
			if len(streams) == 0 {
				w.orphan()
			}
		}
	}
}

// orphan records a sign.
func (w *hostWatch) orphan() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.orphaned = true
	w.weigh()
}

// connected adds to the number of connections.
func (w *hostWatch) connected(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns += n
	w.weigh()
}

// weigh starts or stops the grace timer. It is called with mu held.
func (w *hostWatch) weigh() {
	switch suspect := w.orphaned && w.conns == 0 && !w.over; {
	case suspect && w.grace == nil:
		w.grace = time.AfterFunc(hostGrace, w.giveUp)
	case !suspect && w.grace != nil:
		w.grace.Stop()
		w.grace = nil
	}
}

// giveUp declares the host gone unless one has just connected.
func (w *hostWatch) giveUp() {
	w.mu.Lock()
	suspect := w.grace != nil && w.orphaned && w.conns == 0
	w.mu.Unlock()
	if suspect {
		w.declare()
	}
}

// declare marks the host as gone.
func (w *hostWatch) declare() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.over = true
		close(w.gone)
		w.onGone()
	}
}

// end ends the watch, except that a lifeline is still followed if the process goes on
// after it has served: it must not outlive its host then either. The other signs mean
// nothing without the connections.
func (w *hostWatch) end(goesOn bool) {
	if !goesOn || !w.following {
		w.stop()
	}
}

// stop ends the watch.
func (w *hostWatch) stop() {
	w.mu.Lock()
	w.over = true
	w.weigh()
	stops := w.stops
	w.stops = nil
	w.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
}

// watched counts the connections of the main listener for a hostWatch.
type watched struct {
	net.Listener
	watch *hostWatch
}

func (l watched) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.watch.connected(1)
	return &watchedConn{Conn: conn, watch: l.watch}, nil
}

// watchedConn is a connection that is counted until it is closed.
type watchedConn struct {
	net.Conn
	watch *hostWatch
	once  sync.Once
}

var _ h2grpc.SocketConn = (*watchedConn)(nil)

// Socket and CloseWrite give package h2grpc what it cannot see from outside: that Write
// is the socket's own, which makes it faster, and how to close the write side.
func (c *watchedConn) Socket() net.Conn { return c.Conn }

func (c *watchedConn) CloseWrite() error {
	if conn, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return conn.CloseWrite()
	}
	return nil
}

func (c *watchedConn) Close() error {
	c.once.Do(func() { c.watch.connected(-1) })
	return c.Conn.Close()
}
