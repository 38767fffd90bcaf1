package h2grpc_test

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/peer"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// plenty is metadata of every kind that may be sent.
var plenty = metadata.MD{
	"plain":       {"a value"},
	"several":     {"one", "two", "one"},
	"empty":       {""},
	"0.odd_key-x": {"~ !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"},
	"raw-bin":     {"\x00\xff\n\r,ü"},
	"more-bin":    {"", "b", "\x00\x00"},
	"large":       {strings.Repeat("x", 10_000)},
	"large-bin":   {strings.Repeat("\xfe", 10_000)},
}

// wantMD fails unless got has the keys of want with exactly its values.
func wantMD(t *testing.T, sentence string, got, want metadata.MD) {
	t.Helper()
	for k, v := range want {
		if !slices.Equal(got[k], v) {
			t.Errorf("%s: %s is %.100q, want %.100q", sentence, k, got[k], v)
		}
	}
}

// TestMetadata sends plenty in both directions, with every kind of call.
func TestMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen metadata.MD
		answer := func(ctx context.Context) {
			seen, _ = metadata.FromIncomingContext(ctx)
			if v := metadata.ValueFromIncomingContext(ctx, "Several"); !slices.Equal(v, plenty["several"]) {
				t.Errorf("ValueFromIncomingContext gives %q", v)
			}
			if m, ok := h2grpc.Method(ctx); !ok || !strings.HasPrefix(m, "/test.Service/") {
				t.Errorf("Method gives %q", m)
			}
			for k, v := range plenty {
				if err := h2grpc.SetHeader(ctx, metadata.MD{k: v}); err != nil {
					t.Error(err)
				}
				if err := h2grpc.SetTrailer(ctx, metadata.MD{strings.ToUpper(k): v}); err != nil {
					t.Error(err)
				}
			}
		}
		cc, _ := start(t, setup{service: &testService{
			unary:  func(ctx context.Context, in *raw) (*raw, error) { answer(ctx); return in, nil },
			stream: func(s h2grpc.ServerStream) error { answer(s.Context()); return echoStream(s) },
		}})
		ctx := metadata.NewOutgoingContext(t.Context(), metadata.MD{"Plain": {"a value"}, "empty": {""}})
		for k, vals := range plenty {
			for _, v := range vals {
				if k != "plain" && k != "empty" {
					ctx = metadata.AppendToOutgoingContext(ctx, k, v)
				}
			}
		}
		var header, trailer metadata.MD
		if err := cc.Invoke(ctx, unaryMethod, msg("x"), new(raw), h2grpc.Header(&header), h2grpc.Trailer(&trailer)); err != nil {
			t.Fatal(err)
		}
		wantMD(t, "unary, the request", seen, plenty)
		wantMD(t, "unary, headers", header, plenty)
		wantMD(t, "unary, trailers", trailer, plenty)
		if len(trailer) != len(plenty) {
			t.Errorf("trailers have other keys: %q", slices.Collect(maps.Keys(trailer)))
		}
		if got := seen[":authority"]; !slices.Equal(got, []string{"localhost"}) {
			t.Errorf(":authority is %q", got)
		}
		if got := seen["user-agent"]; len(got) != 1 || !strings.HasPrefix(got[0], "grpc-") {
			t.Errorf("user-agent is %q", got)
		}

		seen = nil
		s, err := cc.NewStream(ctx, &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SendMsg(msg("x")); err != nil {
			t.Fatal(err)
		}
		header, err = s.Header()
		if err != nil {
			t.Fatal(err)
		}
		wantMD(t, "stream, the request", seen, plenty)
		wantMD(t, "stream, headers", header, plenty)
		s.CloseSend()
		for err == nil {
			err = s.RecvMsg(new(raw))
		}
		if err != io.EOF {
			t.Fatal(err)
		}
		wantMD(t, "stream, trailers", s.Trailer(), plenty)
	})
}

// TestMetadataOfErrors: a call that fails has its metadata, too.
func TestMetadataOfErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := func(ctx context.Context) error {
			h2grpc.SetHeader(ctx, metadata.Pairs("h", "1"))
			h2grpc.SetTrailer(ctx, metadata.Pairs("t-bin", "\x002"))
			return status.Error(codes.NotFound, "gone")
		}
		cc, _ := start(t, setup{service: &testService{
			unary:  func(ctx context.Context, in *raw) (*raw, error) { return nil, fail(ctx) },
			stream: func(s h2grpc.ServerStream) error { return fail(s.Context()) },
		}})
		var header, trailer metadata.MD
		err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw), h2grpc.Header(&header), h2grpc.Trailer(&trailer))
		all := metadata.Join(header, trailer)
		if status.Code(err) != codes.NotFound {
			t.Error(err)
		}
		wantMD(t, "unary", all, metadata.MD{"h": {"1"}, "t-bin": {"\x002"}})
		s, err := cc.NewStream(t.Context(), &serverDesc, serverMethod)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(new(raw)); status.Code(err) != codes.NotFound {
			t.Error(err)
		}
		wantMD(t, "stream", s.Trailer(), metadata.MD{"t-bin": {"\x002"}})
	})
}

// TestReservedMetadata: keys that belong to gRPC or HTTP are neither sent nor
// visible, and do not fail a call that sends received metadata on.
func TestReservedMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reserved := metadata.MD{
			":path": {"/x"}, "content-type": {"x"}, "te": {"x"}, "user-agent": {"x"}, "grpc-status": {"5"}, "grpc-timeout": {"1n"}, "grpc-encoding": {"x"},
			"grpc-accept-encoding": {"x"}, "grpc-message": {"x"}, "grpc-message-type": {"x"}, "grpc-status-details-bin": {"x"},
			"connection": {"x"}, "host": {"x"}, "content-length": {"7"}, "transfer-encoding": {"x"},
		}
		var seen metadata.MD
		cc, _ := start(t, setup{service: &testService{unary: func(ctx context.Context, in *raw) (*raw, error) {
			seen, _ = metadata.FromIncomingContext(ctx)
			h2grpc.SetHeader(ctx, reserved)
			h2grpc.SetTrailer(ctx, reserved)
			return in, nil
		}}})
		var header, trailer metadata.MD
		ctx := metadata.NewOutgoingContext(t.Context(), reserved)
		err := cc.Invoke(ctx, unaryMethod, msg("x"), new(raw), h2grpc.Header(&header), h2grpc.Trailer(&trailer))
		if err != nil {
			t.Fatal(err)
		}
		for _, md := range []metadata.MD{seen, header, trailer} {
			for k, v := range md {
				if slices.Contains(v, "x") || k == "grpc-status" || k == "grpc-timeout" {
					t.Errorf("%q arrived as %q", k, v)
				}
			}
		}
	})
}

// TestMetadataOfInstrumentation: names that begin as gRPC's own do, but belong to
// instrumentation, arrive.
func TestMetadataOfInstrumentation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := metadata.MD{"grpc-trace-bin": {"\x00\x00abc"}, "grpc-tags-bin": {"\xff"}, "grpc-previous-rpc-attempts": {"2"}, "traceparent": {"00-abc"}}
		var seen metadata.MD
		cc, _ := start(t, setup{service: &testService{unary: func(ctx context.Context, in *raw) (*raw, error) {
			seen, _ = metadata.FromIncomingContext(ctx)
			h2grpc.SetHeader(ctx, sent)
			h2grpc.SetTrailer(ctx, sent)
			return in, nil
		}}})
		var header, trailer metadata.MD
		ctx := metadata.NewOutgoingContext(t.Context(), sent)
		if err := cc.Invoke(ctx, unaryMethod, msg("x"), new(raw), h2grpc.Header(&header), h2grpc.Trailer(&trailer)); err != nil {
			t.Fatal(err)
		}
		for where, md := range map[string]metadata.MD{"the server": seen, "the header": header, "the trailer": trailer} {
			for k, v := range sent {
				if !slices.Equal(md[k], v) {
					t.Errorf("%s: %s is %q, want %q", where, k, md[k], v)
				}
			}
		}
	})
}

// TestBadMetadata: a call with metadata that cannot be sent fails before anything is
// sent.
func TestBadMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, kv := range [][2]string{{"", "x"}, {"spa ce", "x"}, {"ü", "x"}, {"key", "line\nend"}, {"key", "ü"}, {"key", "\x00"}, {"key", "\x7f"}} {
			md := metadata.Pairs(kv[0], kv[1])
			calls := 0
			cc, _ := start(t, setup{service: &testService{unary: func(ctx context.Context, in *raw) (*raw, error) {
				calls++
				if err := h2grpc.SetHeader(ctx, md); status.Code(err) != codes.Internal {
					t.Errorf("%q: SetHeader gives %v", kv, err)
				}
				h2grpc.SetTrailer(ctx, md) // logged
				return in, nil
			}}})
			bad := metadata.NewOutgoingContext(t.Context(), md)
			if err := cc.Invoke(bad, unaryMethod, msg("x"), new(raw)); status.Code(err) != codes.Internal || calls > 0 {
				t.Errorf("%q: Invoke gives %v after %d calls", kv, err, calls)
			}
			if _, err := cc.NewStream(bad, &bidiDesc, bidiMethod); status.Code(err) != codes.Internal {
				t.Errorf("%q: NewStream gives %v", kv, err)
			}
			if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
				t.Errorf("%q: %v", kv, err)
			}
		}
	})
}

// TestSendHeader: headers are sent at once, and once.
func TestSendHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		cc, _ := start(t, setup{service: &testService{
			stream: func(s h2grpc.ServerStream) error {
				s.SetHeader(metadata.Pairs("a", "1"))
				if err := s.SendHeader(metadata.Pairs("a", "2")); err != nil {
					t.Error(err)
				}
				if err := s.SendHeader(nil); status.Code(err) != codes.Internal {
					t.Errorf("a second SendHeader: %v", err)
				}
				if err := s.SetHeader(metadata.Pairs("a", "3")); status.Code(err) != codes.Internal {
					t.Errorf("SetHeader after SendHeader: %v", err)
				}
				<-release
				return nil
			},
			unary: func(ctx context.Context, in *raw) (*raw, error) {
				return in, h2grpc.SendHeader(ctx, metadata.Pairs("a", "1"))
			},
		}})
		s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		recv := make(chan error, 1)
		go func() { recv <- s.RecvMsg(new(raw)) }()
		synctest.Wait()
		// Header may be called beside RecvMsg, and by several at once.
		heads := make(chan metadata.MD, 3)
		for range 3 {
			go func() {
				md, err := s.Header()
				if err != nil {
					t.Error(err)
				}
				heads <- md
			}()
		}
		for range 3 {
			wantMD(t, "SendHeader", <-heads, metadata.MD{"a": {"1", "2"}})
		}
		close(release)
		if err := <-recv; err != io.EOF {
			t.Error(err)
		}
		var header metadata.MD
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw), h2grpc.Header(&header)); err != nil {
			t.Error(err)
		}
		wantMD(t, "SendHeader in a unary call", header, metadata.MD{"a": {"1"}})
		if err := h2grpc.SetHeader(t.Context(), nil); status.Code(err) != codes.Internal {
			t.Errorf("SetHeader outside of a call: %v", err)
		}
	})
}

// TestHeaderAlongsideRecv: goroutines in Header and RecvMsg both learn of the head,
// and of the end, whichever of them waited first.
func TestHeaderAlongsideRecv(t *testing.T) {
	for _, headFirst := range []bool{true, false} {
		for _, end := range []string{"head", "loss", "trailers"} {
			synctest.Test(t, func(t *testing.T) {
				p, cc := scriptServer(t, h2grpc.ClientConfig{})
				s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
				if err != nil {
					t.Fatal(err)
				}
				head, recv := make(chan error, 2), make(chan error, 1)
				header := func() {
					_, err := s.Header()
					head <- err
				}
				if headFirst {
					go header()
					go header()
					synctest.Wait()
				}
				go func() { recv <- s.RecvMsg(new(raw)) }()
				synctest.Wait()
				if !headFirst {
					go header()
					go header()
					synctest.Wait()
				}
				switch end {
				case "head":
					p.headers(1, 0, response()...)
				case "trailers":
					p.headers(1, endStream, response("grpc-status=3")...)
				case "loss":
					p.nc.Close()
				}
				synctest.Wait()
				if len(head) != 2 {
					t.Errorf("%s, Header first %t: %d of 2 goroutines in Header know it", end, headFirst, len(head))
				}
				if end != "head" && len(recv) != 1 {
					t.Errorf("%s, Header first %t: RecvMsg does not know it", end, headFirst)
				}
				p.nc.Close()
			})
		}
	}
}

// TestPeer: both ends can see their peer.
func TestPeer(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, s setup) {
		s.service = &testService{unary: func(ctx context.Context, in *raw) (*raw, error) {
			p, ok := peer.FromContext(ctx)
			if !ok || p.Addr == nil || p.LocalAddr == nil || (p.TLS != nil) != s.tls {
				t.Errorf("on the server: %+v", p)
			}
			return in, nil
		}}
		cc, _ := start(t, s)
		var p peer.Peer
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw), h2grpc.Peer(&p)); err != nil {
			t.Fatal(err)
		}
		if p.Addr == nil || (p.TLS != nil) != s.tls {
			t.Errorf("on the client: %+v", p)
		}
		if s.tls && p.TLS.NegotiatedProtocol != "h2" {
			t.Errorf("ALPN gave %q", p.TLS.NegotiatedProtocol)
		}
	})
}

// TestLargeTrailers: trailers larger than the client accepts become a status.
func TestLargeTrailers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		md := metadata.Pairs("large", strings.Repeat("x", 20_000))
		small := true
		cc, _ := start(t, setup{
			client: h2grpc.ClientConfig{MaxHeaderListSize: 10_000},
			service: &testService{
				unary: func(ctx context.Context, in *raw) (*raw, error) {
					if small {
						return in, h2grpc.SetTrailer(ctx, md)
					}
					return in, h2grpc.SetHeader(ctx, md)
				},
				stream: func(s h2grpc.ServerStream) error {
					s.SendMsg(msg("x"))
					s.SetTrailer(md)
					return nil
				},
			},
		})
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("trailers of a unary call: %v", err)
		}
		small = false
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("headers of a unary call: %v", err)
		}
		s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(new(raw)); err != nil {
			t.Errorf("the message before: %v", err)
		}
		if err := s.RecvMsg(new(raw)); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("trailers of a stream: %v", err)
		}
	})
}

// TestLargeStreamHeaders: headers of streams do so as well, and the handler gets an
// error.
func TestLargeStreamHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		md := metadata.Pairs("large", strings.Repeat("x", 20_000))
		for _, explicit := range []bool{false, true} {
			cc, _ := start(t, setup{client: h2grpc.ClientConfig{MaxHeaderListSize: 10_000}, service: &testService{stream: func(s h2grpc.ServerStream) error {
				if explicit {
					return s.SendHeader(md)
				}
				s.SetHeader(md)
				return s.SendMsg(msg("x"))
			}}})
			s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.RecvMsg(new(raw)); status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "HEADER_LIST_SIZE") {
				t.Errorf("explicit %t: got %v", explicit, err)
			}
		}
	})
}

// TestLargeRequestHeaders: a client obeys the server's limit by itself.
func TestLargeRequestHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc, _ := start(t, setup{server: h2grpc.ServerConfig{MaxHeaderListSize: 10_000}, service: &testService{unary: echo}})
		ctx := metadata.AppendToOutgoingContext(t.Context(), "large", strings.Repeat("x", 20_000))
		err := cc.Invoke(ctx, unaryMethod, msg("x"), new(raw))
		if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "HEADER_LIST_SIZE") {
			t.Errorf("got %v", err)
		}
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
			t.Errorf("the next call: %v", err)
		}
	})
}
