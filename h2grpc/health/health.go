// Package health is gRPC's health service, grpc.health.v1.Health: a server that
// reports whether each of its services works, and a client's calls to ask it.
//
// The program that serves says how its services are: with [Server.SetServingStatus]
// when something changes, or with [Server.SetCheck] and a function that finds out when
// it is asked. Clients ask once with [Check], or follow the changes with [Watch].
//
// Its messages are encoded by hand and its name is not in protobuf's registry, so
// that the package can be linked together with grpc-go's.
//
// Protocol: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
package health

import (
	"context"
	_ "embed"
	"io"
	"iter"
	"maps"
	"sync"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// Server holds the statuses of a server's services and serves them to clients. The
// service "" stands for the server as a whole. All methods may be called
// concurrently.
type Server struct {
	mu       sync.Mutex
	statuses map[string]Status // guarded by mu
	shutdown bool              // guarded by mu
	changed  chan struct{}     // guarded by mu; closed, and replaced, with each change
	probes   map[string]*probe // guarded by mu; the services of SetCheck
	log      h2grpc.Logger     // guarded by mu
	// update is nil until SetCheck sets it, so that programs without it do not link what
	// calls the functions. Guarded by mu.
	update func(ctx context.Context, age time.Duration, services ...string) (next time.Duration)
}

// NewServer returns a server that knows the service "" alone, which is SERVING.
func NewServer() *Server {
	return &Server{
		statuses: map[string]Status{"": Serving},
		changed:  make(chan struct{}),
	}
}

// SetServingStatus sets the status of a service, which is known from then on, and
// sends it to those who watch it. It takes the place of a function that
// [Server.SetCheck] has set. After [Server.Shutdown] it does nothing.
//
// The name of a service is that of a protobuf service, or any other name that both
// sides agree on, in UTF-8 and of at most MaxService bytes. No client can ask for any
// other name, and List fails while there is one.
func (s *Server) SetServingStatus(service string, current Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shutdown {
		return
	}
	delete(s.probes, service)
	s.statuses[service] = current
	s.announce()
}

// Add makes a service known if it is not: it is SERVING, or NOT_SERVING after
// [Server.Shutdown]. It is for those who serve s together with services of their own,
// and leaves alone what the application has set.
func (s *Server) Add(service string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.statuses[service]; !known {
		s.statuses[service] = Serving
		if s.shutdown {
			s.statuses[service] = NotServing
		}
		s.announce()
	}
}

// LogTo has log receive the panics of functions that [Server.SetCheck] has set, with
// their stacks: the first ten of them, and then one every ten seconds with the number
// of those left out. Nil, as at first, drops them. A plugin that serves s calls it.
func (s *Server) LogTo(log h2grpc.Logger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = log
}

// Shutdown sets every known service to NOT_SERVING, after which
// [Server.SetServingStatus] does nothing until [Server.Resume]. Calls of Watch stay
// open.
func (s *Server) Shutdown() { s.setAll(true, NotServing) }

// Resume undoes [Server.Shutdown]: it sets every known service to SERVING, whatever
// it was before, and SetServingStatus has effect again. Functions are asked again.
func (s *Server) Resume() { s.setAll(false, Serving) }

func (s *Server) setAll(shutdown bool, current Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shutdown = shutdown
	for service := range s.statuses {
		s.statuses[service] = current
	}
	for _, p := range s.probes {
		p.at = time.Time{}
	}
	s.announce()
}

// announce wakes all watchers. Each looks at the statuses itself and sends only the
// newest, so that a slow client needs no queue. The caller holds s.mu.
func (s *Server) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// lookup returns a service's status, whether the service is known, a channel that is
// closed at the next change of any service, and after what time the status should be
// looked up again, which is 0 unless a function returns it. What a function returned is
// at most of the given age. If ctx ends first, the results mean nothing.
func (s *Server) lookup(ctx context.Context, service string, age time.Duration) (current Status, known bool, changed <-chan struct{}, next time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.update != nil {
		next = s.update(ctx, age, service)
	}
	current, known = s.statuses[service]
	return current, known, s.changed, next
}

// check implements Check.
func (s *Server) check(ctx context.Context, request *checkRequest) (any, error) {
	current, known, _, _ := s.lookup(ctx, request.Service, 0)
	if !known {
		return nil, status.Error(codes.NotFound, "unknown service")
	}
	return &checkResponse{Status: current}, ctx.Err()
}

// list implements List.
func (s *Server) list(ctx context.Context, _ *listRequest) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.statuses) > maxListed {
		return nil, status.Errorf(codes.ResourceExhausted,
			"the server has more than the %d services that it lists; ask for each with Check", maxListed)
	}
	if s.update != nil {
		s.update(ctx, 0)
	}
	return &listResponse{Statuses: maps.Clone(s.statuses)}, ctx.Err()
}

// watch implements Watch: it sends the service's status now and after each
// change, until the client ends the call. A status that was replaced before it
// could be sent is skipped, and none is sent twice in a row.
func (s *Server) watch(request *checkRequest, stream h2grpc.ServerStream) error {
	ctx := stream.Context()
	var sent *Status
	for {
		current, known, changed, next := s.lookup(ctx, request.Service, watchInterval)
		if err := ctx.Err(); err != nil {
			return err
		}
		if !known {
			current = ServiceUnknown
		}
		if sent == nil || *sent != current {
			if err := stream.SendMsg(&checkResponse{Status: current}); err != nil {
				return err
			}
			sent = &current
		}
		pause(ctx, changed, next)
	}
}

// pause waits until changed is closed, ctx ends or, unless next is 0, that time is over.
func pause(ctx context.Context, changed <-chan struct{}, next time.Duration) {
	var due <-chan time.Time
	if next > 0 {
		timer := time.NewTimer(next)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-changed:
	case <-due:
	case <-ctx.Done():
	}
}

// Check asks the server at the other end of cc for the status of a service. For an
// unknown service the error has the code NOT_FOUND. A caller that only wants to know
// whether the server answers, as hosts of plugins do, can ignore the status.
func Check(ctx context.Context, cc h2grpc.ClientConnInterface, service string) (Status, error) {
	var response checkResponse
	err := cc.Invoke(ctx, methodCheck, &checkRequest{Service: service}, &response)
	if err != nil {
		return Unknown, err
	}
	return response.Status, nil
}

// Watch asks the server at the other end of cc for the status of a service, and yields
// it at once and whenever it changes: [ServiceUnknown] while the server does not know
// the service. Of statuses that follow each other quickly some may be left out. What
// is yielded last, unless the loop ends before, is an error: that of the call, such as
// UNIMPLEMENTED from a server without Watch, or io.EOF if the server ended it without
// one, as no server should. The call begins with the loop over the sequence, and ends
// with the loop or with ctx. Each loop is a call of its own.
func Watch(ctx context.Context, cc h2grpc.ClientConnInterface, service string) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := cc.NewStream(ctx, &serviceDesc.Streams[0], methodWatch)
		if err == nil {
			err = stream.SendMsg(&checkRequest{Service: service})
		}
		if err == nil {
			err = stream.CloseSend()
		}
		if err == io.EOF {
			err = nil // the server has ended the call, and RecvMsg tells how
		}
		for err == nil {
			var response checkResponse
			if err = stream.RecvMsg(&response); err == nil && !yield(response.Status, nil) {
				return
			}
		}
		yield(Unknown, err)
	}
}

//go:embed descriptors.binpb
var descriptors string

// Descriptors returns the serialized google.protobuf.FileDescriptorSet of the
// health service, for reflection.Register. Each call returns a new copy.
func Descriptors() []byte { return []byte(descriptors) }
