//go:build linux

package attack_test

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/gzip"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

const (
	probeEvery = 2 * time.Millisecond
	// callPause is the pause between two calls of a worker: a program that calls a
	// hostile server does not do so as fast as it can.
	callPause = 10 * time.Millisecond
)

// makeCalls is a process that makes honest calls to one server and records how long
// they take. If it is the victim, it also calls a hostile server.
func makeCalls() error {
	o, in, err := readOptions()
	if err != nil {
		return err
	}
	t := newTally()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	good := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: dialUnix(o.Good)})
	if err := good.Connect(ctx); err != nil {
		return err
	}
	defer good.Close()
	for range 100 {
		if err := good.Invoke(ctx, echoMethod, new(raw), new(raw)); err != nil {
			return err
		}
	}
	go t.probe(ctx, good)
	ready()
	return t.obey(in, func() { t.callHostile(o) })
}

func dialUnix(path string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
}

// probe makes a call every probeEvery.
func (t *tally) probe(ctx context.Context, cc *h2grpc.ClientConn) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	request := raw("12345678")
	for ctx.Err() == nil {
		<-tick.C
		began := time.Now()
		t.mu.Lock()
		t.since = began
		t.mu.Unlock()
		err := cc.Invoke(ctx, echoMethod, &request, new(raw))
		t.mu.Lock()
		t.since = time.Time{}
		t.probes = append(t.probes, time.Since(began))
		if err != nil {
			t.failed = err.Error()
		}
		t.mu.Unlock()
	}
}

// callHostile calls the hostile server until the process is told to release.
func (t *tally) callHostile(o options) {
	cfg := h2grpc.ClientConfig{
		Dial: dialUnix(o.Socket), MaxRecvMessageSize: o.MaxMessage,
		MessageMemory:  o.memory(),
		ConnectTimeout: o.Handshake, MaxHeaderListSize: o.MaxHeaderList,
	}
	if o.Gzip {
		cfg.Compressors = []h2grpc.Compressor{gzip.New()}
	}
	cc := h2grpc.NewClient(&cfg)
	t.request = &sized{make(raw, o.Reply)} // one for all: the application owns what calls send
	ctx, cancel := context.WithCancel(context.Background())
	stop := t.stubborn()
	go func() {
		<-stop
		cancel()
		cc.Close()
	}()
	for range o.Workers {
		go func() {
			pause := time.NewTimer(0)
			defer pause.Stop()
			for ctx.Err() == nil {
				t.enter()
				err := t.oneCall(ctx, cc, o)
				t.leave()
				t.mu.Lock()
				if ctx.Err() == nil {
					t.statuses[status.Code(err).String()]++
					if err != nil && len(t.ended) < 8 {
						t.ended = append(t.ended, err.Error())
					}
				}
				t.mu.Unlock()
				pause.Reset(callPause)
				<-pause.C
			}
		}()
	}
}

// oneCall makes one call of the kind that o names.
func (t *tally) oneCall(ctx context.Context, cc *h2grpc.ClientConn, o options) error {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	request := t.request
	switch o.Calls {
	case echoMethod:
		return cc.Invoke(ctx, echoMethod, request, new(raw))
	case parkMethod: // never reads
		_, err := cc.NewStream(ctx, &h2grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, parkMethod)
		if err == nil {
			<-ctx.Done()
		}
		return err
	}
	s, err := cc.NewStream(ctx, &h2grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, o.Calls)
	if err != nil {
		return err
	}
	for o.Calls == uploadMethod {
		if err := s.SendMsg(request); err != nil {
			break // RecvMsg returns the reason
		}
	}
	for m := (sink{}); ; {
		if err := s.RecvMsg(m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
