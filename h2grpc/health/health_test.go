package health_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/health"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// service is the registered service without a connection: its handlers are
// called as an engine would call them.
type service struct {
	desc *h2grpc.ServiceDesc
	impl any
}

func (s *service) RegisterService(desc *h2grpc.ServiceDesc, impl any) { s.desc, s.impl = desc, impl }

func register(s *health.Server) *service {
	var r service
	s.Register(&r)
	return &r
}

// unary calls a unary method. decode stands for the parsing of the request.
func (s *service) unary(method string, decode func(any) error, i h2grpc.UnaryServerInterceptor) (any, error) {
	for _, m := range s.desc.Methods {
		if m.MethodName == method {
			return m.Handler(s.impl, context.Background(), decode, i)
		}
	}
	return nil, fmt.Errorf("no method %q", method)
}

func (s *service) check(name string) (health.Status, error) {
	response, err := s.unary("Check", func(m any) error {
		*m.(*health.CheckRequest) = health.CheckRequest{Service: name}
		return nil
	}, nil)
	if err != nil {
		return -1, err
	}
	return response.(*health.CheckResponse).Status, nil
}

func (s *service) list() (map[string]health.Status, error) {
	response, err := s.unary("List", func(any) error { return nil }, nil)
	if err != nil {
		return nil, err
	}
	return response.(*health.ListResponse).Statuses, nil
}

// watch calls Watch, which ends when the test does.
func (s *service) watch(t *testing.T, name string) *watch {
	ctx, cancel := context.WithCancel(t.Context())
	w := &watch{service: name, ctx: ctx, cancel: cancel,
		sent: make(chan health.Status), ended: make(chan error, 1)}
	go func() { w.ended <- s.desc.Streams[0].Handler(s.impl, w) }()
	return w
}

// watch is the server's end of a call of Watch. SendMsg waits until next receives
// what it sends, like a stream without window.
type watch struct {
	h2grpc.ServerStream
	service string
	ctx     context.Context
	cancel  context.CancelFunc
	sent    chan health.Status
	ended   chan error
}

func (w *watch) Context() context.Context { return w.ctx }

func (w *watch) RecvMsg(m any) error {
	m.(*health.CheckRequest).Service = w.service
	return nil
}

func (w *watch) SendMsg(m any) error {
	select {
	case w.sent <- m.(*health.CheckResponse).Status:
		return nil
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

// next returns what is waiting to be sent, in a bubble; -1 if nothing is.
func (w *watch) next() health.Status {
	synctest.Wait()
	select {
	case s := <-w.sent:
		return s
	default:
		return -1
	}
}

func (w *watch) want(t *testing.T, sentence string, want health.Status) {
	t.Helper()
	if got := w.next(); got != want {
		t.Fatalf("%s: the watcher of %q gets %v, want %v", sentence, w.service, got, want)
	}
}

const nothing health.Status = -1

func TestCheck(t *testing.T) {
	s := health.NewServer()
	r := register(s)
	if got, err := r.check(""); got != health.Serving || err != nil {
		t.Errorf("the server itself is %v at first (%v), want SERVING", got, err)
	}
	if _, err := r.check("plugin"); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown service gave %v, want NOT_FOUND", err)
	}
	for _, want := range []health.Status{health.Serving, health.NotServing, health.Unknown} {
		s.SetServingStatus("plugin", want)
		if got, err := r.check("plugin"); got != want || err != nil {
			t.Errorf("Check gave %v (%v), want %v", got, err, want)
		}
	}
}

func TestShutdownAndResume(t *testing.T) {
	s := health.NewServer()
	r := register(s)
	s.SetServingStatus("plugin", health.Serving)
	wantAll := func(sentence string, want health.Status) {
		t.Helper()
		for _, name := range []string{"", "plugin"} {
			if got, err := r.check(name); got != want || err != nil {
				t.Errorf("%s %q is %v (%v), want %v", sentence, name, got, err, want)
			}
		}
	}
	s.Shutdown()
	wantAll("after Shutdown", health.NotServing)
	s.SetServingStatus("plugin", health.Serving)
	s.SetServingStatus("new", health.Serving)
	wantAll("after a status was set that Shutdown has ignored,", health.NotServing)
	if _, err := r.check("new"); status.Code(err) != codes.NotFound {
		t.Errorf("a service that was set after Shutdown gave %v, want NOT_FOUND", err)
	}
	s.Resume()
	wantAll("after Resume", health.Serving)
	s.SetServingStatus("plugin", health.NotServing)
	if got, err := r.check("plugin"); got != health.NotServing || err != nil {
		t.Errorf("a status set after Resume is %v (%v), want NOT_SERVING", got, err)
	}
}

func TestList(t *testing.T) {
	s := health.NewServer()
	r := register(s)
	s.SetServingStatus("plugin", health.NotServing)
	got, err := r.list()
	if err != nil || len(got) != 2 || got[""] != health.Serving || got["plugin"] != health.NotServing {
		t.Fatalf("List gave %v, %v", got, err)
	}
	s.SetServingStatus("plugin", health.Serving)
	if got["plugin"] != health.NotServing {
		t.Error("a list that was given out has changed")
	}
	for i := range 98 {
		s.SetServingStatus(fmt.Sprint("service ", i), health.Serving)
	}
	if got, err := r.list(); err != nil || len(got) != 100 {
		t.Errorf("of 100 services List gave %d, %v", len(got), err)
	}
	s.SetServingStatus("one more", health.Serving)
	if _, err := r.list(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("of 101 services List gave %v, want RESOURCE_EXHAUSTED", err)
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := health.NewServer()
		r := register(s)
		server, plugin := r.watch(t, ""), r.watch(t, "plugin")
		server.want(t, "at first", health.Serving)
		plugin.want(t, "at first", health.ServiceUnknown)
		plugin.want(t, "an unknown service's watch stays open", nothing)

		s.SetServingStatus("plugin", health.Serving)
		plugin.want(t, "the service becomes known", health.Serving)
		server.want(t, "another service changes", nothing)
		s.SetServingStatus("plugin", health.Serving)
		plugin.want(t, "the same status is set again", nothing)
		s.SetServingStatus("plugin", health.NotServing)
		plugin.want(t, "the status changes", health.NotServing)

		s.Resume()
		plugin.want(t, "after Resume without Shutdown", health.Serving)
		s.Shutdown()
		plugin.want(t, "after Shutdown", health.NotServing)
		server.want(t, "after Shutdown", health.NotServing)
		s.SetServingStatus("plugin", health.Serving)
		plugin.want(t, "a status is set after Shutdown", nothing)

		for _, w := range []*watch{server, plugin} {
			select {
			case err := <-w.ended:
				t.Fatalf("the watch of %q ended by itself: %v", w.service, err)
			default:
			}
			w.cancel()
			if err := <-w.ended; !errors.Is(err, context.Canceled) {
				t.Errorf("the watch of %q ended with %v, want the context's error", w.service, err)
			}
		}
	})
}

// TestWatchSlowReader changes a status many times while nothing can be sent:
// afterwards the newest status follows, and no other.
func TestWatchSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := health.NewServer()
		w := register(s).watch(t, "plugin")
		synctest.Wait() // SendMsg of SERVICE_UNKNOWN waits
		for range 1000 {
			s.SetServingStatus("plugin", health.Serving)
			s.SetServingStatus("plugin", health.NotServing)
		}
		w.want(t, "the status that was being sent", health.ServiceUnknown)
		w.want(t, "the newest status", health.NotServing)
		w.want(t, "nothing in between", nothing)

		// Back to the status that was last sent: nothing is sent.
		s.SetServingStatus("plugin", health.Serving)
		w.want(t, "a change", health.Serving)
		s.Shutdown()
		synctest.Wait() // SendMsg of NOT_SERVING waits
		s.Resume()
		w.want(t, "the status that was being sent", health.NotServing)
		w.want(t, "the newest status", health.Serving)

		// A client that never reads does not keep the handler running.
		s.Shutdown()
		synctest.Wait()
		w.cancel()
		if err := <-w.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the watch ended with %v, want the context's error", err)
		}
	})
}

// TestWatchRequestError: a request that cannot be read ends the call.
func TestWatchRequestError(t *testing.T) {
	r := register(health.NewServer())
	want := errors.New("no request")
	if err := r.desc.Streams[0].Handler(r.impl, failingStream{err: want}); err != want {
		t.Errorf("Watch gave %v, want %v", err, want)
	}
}

type failingStream struct {
	h2grpc.ServerStream
	err error
}

func (s failingStream) RecvMsg(any) error { return s.err }

func TestInterceptor(t *testing.T) {
	s := health.NewServer()
	r := register(s)
	for _, method := range []string{"Check", "List"} {
		var info *h2grpc.UnaryServerInfo
		response, err := r.unary(method, func(any) error { return nil },
			func(ctx context.Context, request any, i *h2grpc.UnaryServerInfo, next h2grpc.UnaryHandler) (any, error) {
				info = i
				return next(ctx, request)
			})
		if err != nil || response == nil {
			t.Errorf("%s through an interceptor gave %v, %v", method, response, err)
		}
		if info == nil || info.FullMethod != "/grpc.health.v1.Health/"+method || info.Server != s {
			t.Errorf("the interceptor of %s was told %+v", method, info)
		}
		want := errors.New("bad request")
		if _, err := r.unary(method, func(any) error { return want }, nil); err != want {
			t.Errorf("%s with a bad request gave %v, want %v", method, err, want)
		}
	}
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	s := health.NewServer()
	r := register(s)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 200 {
				s.SetServingStatus("plugin", health.Status(1+(i+j)%2))
				if _, err := r.check("plugin"); err != nil {
					t.Error(err)
				}
				if _, err := r.list(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	w := r.watch(t, "plugin")
	go func() {
		all.Wait()
		s.Shutdown()
		s.SetServingStatus("plugin", health.Serving) // ignored
		s.Resume()
		s.SetServingStatus("plugin", health.Unknown)
	}()
	for status := range w.sent {
		if status == health.Unknown {
			break
		}
	}
	w.cancel()
	<-w.ended
}
