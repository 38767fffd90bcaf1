//go:build linux

package attack_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/gzip"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// raw is a message of plain bytes.
type raw []byte

func (m *raw) AppendTo(b []byte) ([]byte, error) { return append(b, *m...), nil }

func (m *raw) UnmarshalFrom(b []byte) error {
	*m = append((*m)[:0], b...)
	return nil
}

// sized is a raw that knows its size, as generated messages do.
type sized struct{ raw }

func (m *sized) Size() int { return len(m.raw) }

// sink is a message that is not kept: memory that handlers hold does not count.
type sink struct{}

func (sink) AppendTo(b []byte) ([]byte, error) { return b, nil }

func (sink) UnmarshalFrom([]byte) error { return nil }

// The methods of the server under attack.
const (
	echoMethod     = "/attack.Victim/Echo"     // answers with the request
	stubbornMethod = "/attack.Victim/Stubborn" // ignores its context
	bigMethod      = "/attack.Victim/Big"      // answers with many bytes
	failMethod     = "/attack.Victim/Fail"     // answers with a status of many bytes
	failStream     = "/attack.Victim/FailStream"
	parkMethod     = "/attack.Victim/Park"     // a stream that waits until it is cancelled
	deafMethod     = "/attack.Victim/Deaf"     // a stream that never reads, and ignores its context
	uploadMethod   = "/attack.Victim/Upload"   // reads everything, answers with nothing
	downloadMethod = "/attack.Victim/Download" // sends until it cannot
)

// serve is a process that serves attack.Victim.
func serve() error {
	o, in, err := readOptions()
	if err != nil {
		return err
	}
	t := newTally()
	cfg := h2grpc.ServerConfig{
		MaxRecvMessageSize:   o.MaxMessage,
		MessageMemory:        o.memory(),
		MaxConcurrentStreams: o.MaxStreams,
		HandshakeTimeout:     o.Handshake,
		StallTimeout:         o.Stall,
		MinPingInterval:      o.MinPing,
	}
	if o.Gzip {
		cfg.Compressors = []h2grpc.Compressor{gzip.New()}
	}
	srv := h2grpc.NewServer(&cfg)
	srv.RegisterService(t.service(o), t)
	lis, err := listen(o.Socket)
	if err != nil {
		return err
	}
	go func() {
		for {
			nc, err := lis.Accept()
			if err != nil {
				return
			}
			go t.serveConn(srv, nc)
		}
	}()
	ready()
	return t.obey(in, func() {})
}

func (t *tally) serveConn(srv *h2grpc.Server, nc net.Conn) {
	t.mu.Lock()
	t.conns++
	t.mu.Unlock()
	err := srv.ServeConn(context.Background(), nc)
	t.mu.Lock()
	t.conns--
	if err != nil && len(t.ended) < 8 {
		t.ended = append(t.ended, err.Error())
	}
	t.mu.Unlock()
}

// unary makes a unary method of f.
func (t *tally) unary(name string, f func(context.Context, *raw) (any, error)) h2grpc.MethodDesc {
	return h2grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, dec func(any) error, _ h2grpc.UnaryServerInterceptor) (any, error) {
		t.enter()
		defer t.leave()
		m := new(raw)
		if err := dec(m); err != nil {
			return nil, err
		}
		return f(ctx, m)
	}}
}

// stream makes a streaming method of f.
func (t *tally) stream(name string, f func(h2grpc.ServerStream) error) h2grpc.StreamDesc {
	return h2grpc.StreamDesc{StreamName: name, ClientStreams: true, ServerStreams: true, Handler: func(_ any, s h2grpc.ServerStream) error {
		t.enter()
		defer t.leave()
		return f(s)
	}}
}

func (t *tally) service(o options) *h2grpc.ServiceDesc {
	part, big, text := make(raw, max(o.Reply, 16<<10)), make(raw, o.Reply), strings.Repeat("x", o.Reply)
	return &h2grpc.ServiceDesc{
		ServiceName: "attack.Victim",
		Methods: []h2grpc.MethodDesc{
			t.unary("Echo", func(_ context.Context, m *raw) (any, error) { return m, nil }),
			t.unary("Stubborn", func(_ context.Context, m *raw) (any, error) {
				<-t.stubborn()
				return m, nil
			}),
			t.unary("Big", func(context.Context, *raw) (any, error) {
				if o.Unsized {
					return &big, nil
				}
				return &sized{big}, nil
			}),
			t.unary("Fail", func(context.Context, *raw) (any, error) {
				return nil, status.Error(codes.Aborted, text)
			}),
		},
		Streams: []h2grpc.StreamDesc{
			t.stream("Park", func(s h2grpc.ServerStream) error {
				<-s.Context().Done()
				return nil
			}),
			t.stream("Deaf", func(h2grpc.ServerStream) error {
				<-t.stubborn()
				return nil
			}),
			t.stream("FailStream", func(h2grpc.ServerStream) error { return status.Error(codes.Aborted, text) }),
			t.stream("Upload", func(s h2grpc.ServerStream) error {
				for {
					if err := s.RecvMsg(sink{}); errors.Is(err, io.EOF) {
						return nil
					} else if err != nil {
						return err
					}
				}
			}),
			t.stream("Download", func(s h2grpc.ServerStream) error {
				var m any = &sized{part}
				if o.Unsized {
					m = &part
				}
				for {
					if err := s.SendMsg(m); err != nil {
						return err
					}
				}
			}),
		},
	}
}
