// Package negative is the server of gRPC's negative HTTP/2 interoperability
// tests: it answers each call of grpc.testing.TestService/UnaryCall, and breaks
// off calls and connections the way a test case wants it. It writes HTTP/2
// frames itself, because no proper server does what it does.
package negative

import (
	"errors"
	"fmt"
	"net"
	"sync"
)

// Cases are the names of the test cases.
var Cases = []string{"goaway", "rst_after_header", "rst_during_data", "rst_after_data", "ping", "max_streams"}

// Server serves one test case. Its methods may be called concurrently.
type Server struct {
	test string
	lis  net.Listener
	wg   sync.WaitGroup

	mu sync.Mutex
	// guarded by mu
	conns  map[net.Conn]struct{}
	closed bool
	calls  []int   // calls answered, by connection
	errs   []error // what clients did wrong
}

// Listen starts a server for a test case on a free port of the loopback
// interface.
func Listen(test string) (*Server, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{test: test, lis: lis, conns: map[net.Conn]struct{}{}}
	s.wg.Go(s.accept)
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() *net.TCPAddr { return s.lis.Addr().(*net.TCPAddr) }

// Close ends the server and returns what its clients did wrong.
func (s *Server) Close() error {
	s.lis.Close()
	s.mu.Lock()
	s.closed = true
	for nc := range s.conns {
		nc.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	served := 0
	for _, n := range s.calls {
		if n > 0 {
			served++
		}
		if s.test == "goaway" && n > 1 {
			s.errs = append(s.errs, fmt.Errorf("%d calls came on a connection that was to end after one", n))
		}
	}
	if s.test == "goaway" && served != 2 {
		s.errs = append(s.errs, fmt.Errorf("calls came on %d connections, want 2", served))
	}
	if served == 0 {
		s.errs = append(s.errs, errors.New("no call came"))
	}
	return errors.Join(s.errs...)
}

func (s *Server) accept() {
	for {
		nc, err := s.lis.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			nc.Close()
			return
		}
		s.conns[nc] = struct{}{}
		index := len(s.calls)
		s.calls = append(s.calls, 0)
		s.mu.Unlock()
		s.wg.Go(func() {
			c := newConn(s, nc)
			if err := c.serve(); err != nil {
				s.fault(err)
			}
			nc.Close()
			s.mu.Lock()
			delete(s.conns, nc)
			s.calls[index] = c.answered
			s.mu.Unlock()
		})
	}
}

// fault notes what a client did wrong.
func (s *Server) fault(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
}
