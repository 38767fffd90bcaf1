package h2grpc_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// TestNotSent: which errors say that the server certainly did not process the call.
func TestNotSent(t *testing.T) {
	refuse := func(ids ...uint32) func(p *script) {
		return func(p *script) {
			for _, id := range ids {
				p.want("the call", fmt.Sprintf("HEADERS %d …", id), fmt.Sprintf("DATA %d …END_STREAM", id))
				p.reset(id, http2.ErrCodeRefusedStream)
			}
		}
	}
	for _, test := range []struct {
		name   string
		script func(p *script)
		code   codes.Code
		want   bool
	}{
		{"refused, and refused once more", refuse(1, 3), codes.Unavailable, true},
		{"GOAWAY before the call", func(p *script) {
			refuse(1)(p)
			p.want("the call again", "HEADERS 3 …", "DATA 3 …END_STREAM")
			p.goAway(0, http2.ErrCodeNo, "")
		}, codes.Unavailable, true},
		{"GOAWAY after the call, and the end", func(p *script) {
			p.want("the call", "HEADERS 1 …", "DATA 1 …END_STREAM")
			p.goAway(1, http2.ErrCodeNo, "")
			p.nc.Close()
		}, codes.Unavailable, false},
		{"the connection ends", func(p *script) {
			p.want("the call", "HEADERS 1 …", "DATA 1 …END_STREAM")
			p.nc.Close()
		}, codes.Unavailable, false},
		{"the server answers UNAVAILABLE", func(p *script) {
			p.want("the call", "HEADERS 1 …", "DATA 1 …END_STREAM")
			p.headers(1, endStream, append(response(), "grpc-status=14")...)
		}, codes.Unavailable, false},
		{"the server resets it", func(p *script) {
			p.want("the call", "HEADERS 1 …", "DATA 1 …END_STREAM")
			p.reset(1, http2.ErrCodeInternal)
		}, codes.Internal, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, cc := scriptServer(t, h2grpc.ClientConfig{})
				got := invoke(t.Context(), cc, "q")
				test.script(p)
				r := <-got
				if h2grpc.NotSent(r.err) != test.want || status.Code(r.err) != test.code {
					t.Errorf("%v: NotSent is %v, the code %v, want %v and %v", r.err, h2grpc.NotSent(r.err), status.Code(r.err), test.want, test.code)
				}
			})
		})
	}
	t.Run("no connection", func(t *testing.T) {
		cc := h2grpc.NewClient(&h2grpc.ClientConfig{})
		for _, state := range []string{"which cannot be made", "which is closed"} {
			_, stream := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
			for _, err := range []error{cc.Invoke(t.Context(), unaryMethod, msg("q"), new(raw)), stream} {
				if !h2grpc.NotSent(err) || !h2grpc.NotSent(fmt.Errorf("wrapped: %w", err)) {
					t.Errorf("a connection %s: NotSent(%v) is false", state, err)
				}
			}
			cc.Close()
		}
	})
	for _, err := range []error{nil, io.EOF, errors.New("some error"), status.Error(codes.Unavailable, "connecting: refused")} {
		if h2grpc.NotSent(err) {
			t.Errorf("NotSent(%v) is true", err)
		}
	}
}
