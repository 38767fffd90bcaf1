package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/host"
)

// fake is a process that is none: a server at the end of memory connections.
type fake struct {
	number int
	config *host.Config
	cc     *h2grpc.ClientConn
	srv    *h2grpc.Server
	conns  sync.WaitGroup
	pid    int // 0 for one that nobody has

	mu       sync.Mutex
	err      error            // of an end that nobody asked for
	sick     error            // what Ping returns
	silent   bool             // Ping returns nothing
	done     chan struct{}    // closed at the end
	shutdown bool             // Shutdown was called
	killed   bool             // Kill was called
	got      []string         // the calls that it has carried out
	release  chan struct{}    // what Wait waits for
	exit     host.ExitStatus  // how it has ended
	pings    atomic.Int32     // calls of Ping
	onCall   func(msg string) // called before a call is answered
	slow     chan struct{}    // if set, Shutdown waits for it
}

// world launches fakes.
type world struct {
	t  *testing.T
	mu sync.Mutex
	// plan, if set, is called for each launch: it may fail it, or change the process.
	plan  func(f *fake) error
	list  []*fake
	event []Event
	pass  func(time.Duration) // lets time pass
}

func (w *world) launch(ctx context.Context, config *host.Config) (running, error) {
	w.mu.Lock()
	f := &fake{number: len(w.list) + 1, config: config, done: make(chan struct{}), release: make(chan struct{})}
	w.list = append(w.list, f)
	plan := w.plan
	w.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.serve()
	if plan != nil {
		if err := plan(f); err != nil {
			f.end(nil, host.ExitStatus{})
			return nil, err
		}
	}
	return f, nil
}

// process returns the nth process, from 1.
func (w *world) process(n int) *fake {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.list) < n {
		w.t.Fatalf("there are %d processes, not %d", len(w.list), n)
	}
	return w.list[n-1]
}

func (w *world) processes() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.list)
}

// serve makes the process's connection. Its methods: Echo returns the process's number
// and the request; Wait does so when the process is told to; Die ends the process.
func (f *fake) serve() {
	f.srv = h2grpc.NewServer(&h2grpc.ServerConfig{Unknown: func(method string, stream h2grpc.ServerStream) error {
		var m h2grpc.Raw
		if err := stream.RecvMsg(&m); err != nil {
			return err
		}
		f.mu.Lock()
		f.got = append(f.got, string(m))
		on := f.onCall
		f.mu.Unlock()
		if on != nil {
			on(string(m))
		}
		switch method {
		case "/t.S/Wait":
			select {
			case <-f.release:
			case <-stream.Context().Done():
				return stream.Context().Err()
			}
		case "/t.S/Die":
			go f.crash(1)
			<-stream.Context().Done()
			return stream.Context().Err()
		}
		out := h2grpc.Raw(fmt.Sprintf("%d:%s", f.number, m))
		return stream.SendMsg(&out)
	}})
	f.cc = h2grpc.NewClient(&h2grpc.ClientConfig{
		Dial: func(context.Context) (net.Conn, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.ended() {
				return nil, errors.New("nobody listens")
			}
			a, b := net.Pipe()
			f.conns.Go(func() { f.srv.ServeConn(context.Background(), b) })
			return a, nil
		},
		MapError: func(err error) error {
			if own := f.Err(); own != nil {
				return fmt.Errorf("%w (%w)", err, own)
			}
			return err
		},
	})
}

func (f *fake) ended() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

func (f *fake) end(err error, status host.ExitStatus) {
	f.mu.Lock()
	if f.ended() {
		f.mu.Unlock()
		return
	}
	f.err, f.exit = err, status
	close(f.done)
	f.mu.Unlock()
	f.srv.Close()
	f.conns.Wait()
	f.cc.Close()
}

// crash ends the process by itself.
func (f *fake) crash(code int) {
	status := host.ExitStatus{Ended: true, Code: code}
	f.end(&host.ExitError{Path: "fake", PID: f.PID(), Status: status}, status)
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) Conn() *h2grpc.ClientConn { return f.cc }
func (f *fake) Done() <-chan struct{}    { return f.done }
func (f *fake) PID() int                 { return cmp.Or(f.pid, 1000+f.number) }
func (f *fake) Version() int             { return 7 }

func (f *fake) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *fake) ExitStatus() host.ExitStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.exit
}

func (f *fake) Ping(ctx context.Context) error {
	f.pings.Add(1)
	f.mu.Lock()
	sick, silent := f.sick, f.silent
	f.mu.Unlock()
	if silent {
		<-ctx.Done()
		return ctx.Err()
	}
	if f.ended() {
		return errors.New("it has ended")
	}
	return sick
}

func (f *fake) Shutdown(context.Context) error {
	f.set(func() { f.shutdown = true })
	if f.slow != nil {
		<-f.slow
	}
	f.end(nil, host.ExitStatus{Ended: true})
	return nil
}

func (f *fake) Kill() {
	f.set(func() { f.killed = true })
	f.end(nil, host.ExitStatus{Ended: true, Code: -1, Signal: "killed"})
}

// inFakeTime runs a test with a supervisor of fakes. It is stopped at the end.
func inFakeTime(t *testing.T, config Config, plan func(f *fake) error, test func(t *testing.T, w *world, s *Supervisor)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, plan: plan, pass: func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}}
		if config.Host == nil {
			config.Host = &host.Config{}
		}
		config.Host.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
		if config.Event == nil {
			config.Event = func(e Event) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.event = append(w.event, e)
			}
		}
		config.Restart.Backoff.Jitter = -1
		s, err := begin(&config, w.launch)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			s.Close()
			for _, f := range w.list {
				if !f.ended() {
					t.Errorf("process %d is left", f.number)
				}
			}
			synctest.Wait()
		}()
		synctest.Wait()
		test(t, w, s)
	})
}

// events returns what has happened since the last call, one word for each.
func (w *world) events() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for _, e := range w.event {
		text := fmt.Sprintf("%v %d", e.State, e.Process)
		switch e.State {
		case Exited:
			text += ": " + e.Exit.Why.String()
		case Restarting:
			text += ": " + e.In.String()
		}
		list = append(list, text)
	}
	w.event = nil
	return list
}

// call makes a unary call.
func call(ctx context.Context, cc h2grpc.ClientConnInterface, method, in string) (string, error) {
	msg, out := h2grpc.Raw(in), h2grpc.Raw(nil)
	err := cc.Invoke(ctx, "/t.S/"+method, &msg, &out)
	return string(out), err
}

// calling is a call in progress.
type calling struct {
	out string
	err error
}

func goCall(ctx context.Context, cc h2grpc.ClientConnInterface, method, in string) <-chan calling {
	done := make(chan calling, 1)
	go func() {
		out, err := call(ctx, cc, method, in)
		done <- calling{out, err}
	}()
	return done
}
