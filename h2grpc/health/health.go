// Package health is gRPC's health service, grpc.health.v1.Health: a server that
// reports whether each of its services works, and a client's call to ask it.
//
// Its messages are encoded by hand and its name is not in protobuf's registry, so
// that the package can be linked together with grpc-go's.
//
// Protocol: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
package health

import (
	"context"
	_ "embed"
	"maps"
	"sync"

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
}

// NewServer returns a server that knows the service "" alone, which is SERVING.
func NewServer() *Server {
	return &Server{
		statuses: map[string]Status{"": Serving},
		changed:  make(chan struct{}),
	}
}

// SetServingStatus sets the status of a service, which is known from then on, and
// sends it to those who watch it. After [Server.Shutdown] it does nothing.
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
	s.statuses[service] = current
	s.announce()
}

// Shutdown sets every known service to NOT_SERVING, after which
// [Server.SetServingStatus] does nothing until [Server.Resume]. Calls of Watch stay
// open.
func (s *Server) Shutdown() { s.setAll(true, NotServing) }

// Resume undoes [Server.Shutdown]: it sets every known service to SERVING, whatever
// it was before, and SetServingStatus has effect again.
func (s *Server) Resume() { s.setAll(false, Serving) }

func (s *Server) setAll(shutdown bool, current Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shutdown = shutdown
	for service := range s.statuses {
		s.statuses[service] = current
	}
	s.announce()
}

// announce wakes all watchers. Each looks at the statuses itself and sends only the
// newest, so that a slow client needs no queue. The caller holds s.mu.
func (s *Server) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// lookup returns a service's status, whether the service is known, and a channel that
// is closed at the next change of any service.
func (s *Server) lookup(service string) (current Status, known bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	current, known = s.statuses[service]
	return current, known, s.changed
}

// check implements Check.
func (s *Server) check(_ context.Context, request *checkRequest) (any, error) {
	current, known, _ := s.lookup(request.Service)
	if !known {
		return nil, status.Error(codes.NotFound, "unknown service")
	}
	return &checkResponse{Status: current}, nil
}

// list implements List.
func (s *Server) list(context.Context, *listRequest) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.statuses) > maxListed {
		return nil, status.Errorf(codes.ResourceExhausted,
			"the server has more than the %d services that it lists; ask for each with Check", maxListed)
	}
	return &listResponse{Statuses: maps.Clone(s.statuses)}, nil
}

// watch implements Watch: it sends the service's status now and after each
// change, until the client ends the call. A status that was replaced before it
// could be sent is skipped, and none is sent twice in a row.
func (s *Server) watch(request *checkRequest, stream h2grpc.ServerStream) error {
	var sent *Status
	for {
		current, known, changed := s.lookup(request.Service)
		if !known {
			current = ServiceUnknown
		}
		if sent == nil || *sent != current {
			if err := stream.SendMsg(&checkResponse{Status: current}); err != nil {
				return err
			}
			sent = &current
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
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

//go:embed descriptors.binpb
var descriptors string

// Descriptors returns the serialized google.protobuf.FileDescriptorSet of the
// health service, for reflection.Register. Each call returns a new copy.
func Descriptors() []byte { return []byte(descriptors) }
