package h2grpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http2"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// detailed is a status with a detail of size bytes.
func detailed(text string, size int) *status.Status {
	st, err := status.New(codes.FailedPrecondition, text).WithDetails(wrapperspb.String(strings.Repeat("d", size)))
	if err != nil {
		panic(err)
	}
	return st
}

// TestLargeStatus: what grpc-go delivers between its own ends arrives, over every
// network, for unary calls and for streams.
func TestLargeStatus(t *testing.T) {
	statuses := []*status.Status{
		detailed("the reason", 47_000),
		status.New(codes.FailedPrecondition, strings.Repeat("x", 64<<10)),
		status.New(codes.FailedPrecondition, strings.Repeat("a line of a log, 100%, ü\n", 3000)),
		detailed("the reason", 5_000_000),
		status.New(codes.FailedPrecondition, strings.Repeat("y", 5<<20)),
	}
	onEveryNetwork(t, func(t *testing.T, s setup) {
		var handlerErr error
		s.service = fails(&handlerErr)
		cc, _ := start(t, s)
		for i, want := range statuses {
			handlerErr = want.Err()
			calls := []func() error{
				func() error { return cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)) },
				func() error {
					s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
					if err != nil {
						return err
					}
					return s.RecvMsg(new(raw))
				},
			}
			for j, call := range calls {
				err := call()
				got := status.Convert(err)
				if got.Code() != want.Code() || got.Message() != want.Message() || len(got.Details()) != len(want.Details()) {
					t.Fatalf("status %d, call %d: %v with %d bytes of text (%.300s) and %d details", i, j, got.Code(), len(got.Message()), got.Message(), len(got.Details()))
				}
				if len(want.Details()) == 1 && got.Details()[0].(*wrapperspb.StringValue).Value != want.Details()[0].(*wrapperspb.StringValue).Value {
					t.Errorf("status %d, call %d: another detail", i, j)
				}
			}
		}
	})
}

// endings collects how calls ended.
type endings struct {
	mu   sync.Mutex
	errs []error
}

func (e *endings) Begin(ctx context.Context, _ h2grpc.CallInfo) context.Context  { return ctx }
func (e *endings) Headers(context.Context, h2grpc.Direction, metadata.MD)        {}
func (e *endings) Message(context.Context, h2grpc.Direction, h2grpc.MessageSize) {}
func (e *endings) End(_ context.Context, err error, _ time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.errs = append(e.errs, err)
}

// TestShortenedStatus: a server leaves out what its client does not accept, as little
// as possible, says so in the text, and never changes the code.
func TestShortenedStatus(t *testing.T) {
	const limit = 10_000
	const asked = "; the client's MaxHeaderListSize is 10000]"
	small, large := metadata.Pairs("small", "value"), metadata.Pairs("large", strings.Repeat("m", 9_990))
	for _, c := range []struct {
		name    string
		st      *status.Status
		md      metadata.MD
		text    string
		details int
		keepsMD bool
	}{
		{"all of it fits", detailed("the reason", 3000), small, "the reason", 1, true},
		{"metadata is too large", detailed("the reason", 3000), large, "the reason… [cut: 10027 bytes of metadata" + asked, 1, false},
		{"details are too large", detailed("the reason", 47_000), nil, "the reason… [cut: 47051 bytes of details" + asked, 0, false},
		{"details are too large, and metadata is not", detailed("the reason", 47_000), small, "the reason… [cut: 47051 bytes of details" + asked, 0, true},
		{"both are too large", detailed("the reason", 47_000), large, "the reason… [cut: 47051 bytes of details, 10027 bytes of metadata" + asked, 0, false},
		{"the text is too large", status.New(codes.Aborted, strings.Repeat("x", 20_000)), nil,
			"xxx…xxx… [cut: the text after byte 97… of 20000" + asked, 0, false},
		{"a text of characters of three bytes", status.New(codes.Aborted, strings.Repeat("日", 20_000)), nil,
			"日…日… [cut: the text after byte 32… of 60000" + asked, 0, false},
		{"a text that is no UTF-8", status.New(codes.Aborted, strings.Repeat("\xffx", 10_000)), nil,
			"\ufffdx…\ufffd… [cut: the text after byte … of 20000" + asked, 0, false},
		{"everything is too large", detailed(strings.Repeat("x", 20_000), 47_000), large,
			"xxx…xxx… [cut: 47051 bytes of details, 10027 bytes of metadata, the text after byte 9… of 20000" + asked, 0, false},
	} {
		for _, header := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/header %t", c.name, header), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var log warnings
					var ends endings
					set := func(ctx context.Context) {
						if header {
							h2grpc.SetHeader(ctx, c.md)
						} else {
							h2grpc.SetTrailer(ctx, c.md)
						}
					}
					cc, _ := start(t, setup{
						client: h2grpc.ClientConfig{MaxHeaderListSize: limit},
						server: h2grpc.ServerConfig{Logger: &log, Stats: &ends},
						service: &testService{
							unary: func(ctx context.Context, _ *raw) (*raw, error) {
								set(ctx)
								return nil, c.st.Err()
							},
							stream: func(s h2grpc.ServerStream) error {
								set(s.Context())
								return c.st.Err()
							},
						},
					})
					var trailer metadata.MD
					unary := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw), h2grpc.Trailer(&trailer))
					s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
					if err != nil {
						t.Fatal(err)
					}
					stream := s.RecvMsg(new(raw))
					for _, err := range []error{unary, stream} {
						got := status.Convert(err)
						text := got.Message()
						if got.Code() != c.st.Code() || !matches(c.text, text) || !utf8.ValidString(text) || len(got.Details()) != c.details {
							t.Errorf("got %v with %d bytes, %.100q…%.150q, and %d details", got.Code(), len(text), text, text[max(0, len(text)-150):], len(got.Details()))
						}
					}
					for _, md := range []metadata.MD{trailer, s.Trailer()} {
						if kept := len(md.Get("small")) > 0; kept != c.keepsMD || len(md.Get("large")) > 0 {
							t.Errorf("the metadata is %.100v", md)
						}
					}
					synctest.Wait()
					want := 1
					if c.name == "all of it fits" {
						want = 0
					}
					if lines := log.take(); len(lines) != want {
						t.Errorf("the log has %q, want %d lines for both calls", lines, want)
					}
					for _, err := range ends.errs {
						if status.Convert(err).Message() != status.Convert(unary).Message() {
							t.Errorf("the server's Stats have %.300v, the client %.300v", err, unary)
						}
					}
				})
			})
		}
	}
}

// TestShortenedAlways: a code arrives, however little the client accepts, and what is
// sent is within the limit whenever the text can be cut.
func TestShortenedAlways(t *testing.T) {
	st := detailed(strings.Repeat("größer ", 1000), 20_000)
	for limit := uint32(0); limit < 700; limit += 7 {
		synctest.Test(t, func(t *testing.T) {
			handlerErr := st.Err()
			p, _ := scriptClient(t, setup{service: fails(&handlerErr)}, http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: limit})
			p.headers(1, 0, request(unaryMethod)...)
			p.data(1, endStream, grpcMsg("x"))
			p.take()
			line := strings.Join(p.held, "\n")
			text, ok := strings.CutPrefix(line, "HEADERS 1 :status=200 content-type=application/grpc grpc-status=9")
			text, ended := strings.CutSuffix(text, " END_STREAM")
			if !ok || !ended {
				t.Fatalf("a limit of %d: got %.300q", limit, line)
			}
			size, fields := len(line)-len("HEADERS 1 ")-len(" END_STREAM"), 3
			if text != "" {
				fields++
			}
			size += 32*fields - fields - (fields - 1) // without = and spaces
			if size > int(limit) && text != "" {
				t.Errorf("%d bytes for a limit of %d: %.300q", size, limit, line)
			}
			if text == "" && limit > 450 || text != "" && !strings.HasSuffix(text, "; the client's MaxHeaderListSize is "+fmt.Sprint(limit)+"]") {
				t.Errorf("for a limit of %d the text is %q", limit, text)
			}
		})
	}
}

// TestMetadataOfSuccess: a call that succeeded does not seem complete if its metadata
// is not.
func TestMetadataOfSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ends endings
		cc, _ := start(t, setup{
			client: h2grpc.ClientConfig{MaxHeaderListSize: 10_000},
			server: h2grpc.ServerConfig{Stats: &ends},
			service: &testService{unary: func(ctx context.Context, in *raw) (*raw, error) {
				return in, h2grpc.SetTrailer(ctx, metadata.Pairs("large", strings.Repeat("m", 20_000)))
			}},
		})
		err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw))
		if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "MaxHeaderListSize (SETTINGS_MAX_HEADER_LIST_SIZE) is 10000") {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if len(ends.errs) != 1 || status.Code(ends.errs[0]) != codes.ResourceExhausted {
			t.Errorf("the server's Stats have %v", ends.errs)
		}
	})
}

// TestCutStatus: a client that is sent more than it accepts keeps the code and the
// part of the text that it has, and names its limit.
func TestCutStatus(t *testing.T) {
	const mark = "… [cut: the response's headers are larger than this side accepts: MaxHeaderListSize of the ClientConfig is 10000 bytes, and 1000 fields, for all headers that calls have not read]"
	long, many := strings.Repeat("x", 50_000), strings.Repeat("\x00\x01c\x00", 1500)
	for _, c := range []struct {
		name      string
		head, end []string
		raw       string // of the end
		code      codes.Code
		text      string
	}{
		{"details", nil, []string{"grpc-status=9", "grpc-message=the reason", "grpc-status-details-bin=" + long}, "", codes.FailedPrecondition, "the reason" + mark},
		{"text", nil, []string{"grpc-status=9", "grpc-message=" + long}, "", codes.FailedPrecondition, "xxx…xxx" + mark},
		{"text, cut inside a character", nil, []string{"grpc-status=9", "grpc-message=" + strings.Repeat("%E6%97%A5", 5000)}, "", codes.FailedPrecondition, "日…日" + mark},
		{"text, cut inside an escape", nil, []string{"grpc-status=9", "grpc-message=a" + strings.Repeat("%0A", 5000)}, "", codes.FailedPrecondition, "a\n…\n" + mark},
		{"metadata", nil, []string{"grpc-status=9", "grpc-message=the reason", "large=" + long}, "", codes.FailedPrecondition, "the reason" + mark},
		{"fields", nil, []string{"grpc-status=9", "grpc-message=the reason"}, many, codes.FailedPrecondition, "the reason" + mark},
		{"headers before", []string{"large=" + long}, []string{"grpc-status=9", "grpc-message=the reason"}, "", codes.FailedPrecondition, "the reason" + mark},
		{"metadata of a call that went well", nil, []string{"grpc-status=0", "large=" + long}, "", codes.ResourceExhausted, mark[len("… [cut: ") : len(mark)-1]},
		{"the code comes after", nil, []string{"large=" + long, "grpc-status=9"}, "", codes.ResourceExhausted, mark[len("… [cut: ") : len(mark)-1]},
	} {
		for _, alone := range []bool{false, true} {
			if alone && c.head != nil {
				continue
			}
			t.Run(fmt.Sprintf("%s/trailers alone %t", c.name, alone), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p, cc := scriptServer(t, h2grpc.ClientConfig{MaxHeaderListSize: 10_000})
					call := invoke(t.Context(), cc, "x")
					p.take()
					if alone {
						p.blockFrames(1, endStream, p.block(response(c.end...)...)+c.raw)
					} else {
						p.blockFrames(1, 0, p.block(response(c.head...)...))
						p.data(1, 0, grpcMsg("a"))
						p.blockFrames(1, endStream, p.block(c.end...)+c.raw)
					}
					r := <-call
					if got := status.Convert(r.err); got.Code() != c.code || !matches(c.text, got.Message()) {
						t.Errorf("got %v, %.100q…%.200q", got.Code(), got.Message(), got.Message()[max(0, len(got.Message())-200):])
					}
					next := invoke(t.Context(), cc, "x")
					p.take()
					p.held = nil
					p.answers(3, "a")
					wantReply(t, "the connection goes on", next, "a")
				})
			})
		}
	}
}

// blockFrames sends a header block in as many frames as it needs.
func (p *script) blockFrames(id uint32, flags http2.Flags, block string) {
	const most = 16 << 10
	typ := http2.FrameHeaders
	for len(block) > most {
		p.frame(typ, flags, id, block[:most])
		block = block[most:]
		typ, flags = http2.FrameContinuation, 0
	}
	p.frame(typ, flags|endHeaders, id, block)
}

// TestResponseHeaderBudget: headers of responses that have not been read take no more
// than the limit together. Calls past it keep their codes, and there is room again
// when others have ended.
func TestResponseHeaderBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{})
		large := strings.Repeat("x", 1<<20)
		var streams []h2grpc.ClientStream
		open := func() h2grpc.ClientStream {
			s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
			if err != nil {
				t.Fatal(err)
			}
			p.take()
			p.held = nil
			return s
		}
		size := func(s h2grpc.ClientStream) int {
			md, err := s.Header()
			if err != nil {
				t.Fatal(err)
			}
			return len(strings.Join(md.Get("large"), ""))
		}
		whole := 0
		for i := range 20 {
			s := open()
			streams = append(streams, s)
			p.blockFrames(uint32(2*i+1), 0, p.block(response("large="+large)...))
			synctest.Wait()
			if size(s) == len(large) {
				whole++
			}
		}
		if whole < 7 || whole > 8 {
			t.Errorf("headers of 1 MiB of %d calls are kept, want 8 MiB", whole)
		}
		last := uint32(2*len(streams) - 1)
		p.blockFrames(last, endStream, p.block("grpc-status=9", "grpc-message=the reason", "large="+large))
		err := streams[len(streams)-1].RecvMsg(new(raw))
		if got := status.Convert(err); got.Code() != codes.FailedPrecondition || !strings.HasPrefix(got.Message(), "the reason… [cut: ") {
			t.Errorf("past the budget: %v", err)
		}
		p.headers(1, endStream, "grpc-status=0")
		if err := streams[0].RecvMsg(new(raw)); !errors.Is(err, io.EOF) {
			t.Errorf("the first: %v", err)
		}
		s := open()
		p.blockFrames(last+2, 0, p.block(response("large="+large)...))
		synctest.Wait()
		if size(s) != len(large) {
			t.Error("the first has ended, and there is no room for its like")
		}
		// Calls that end leave nothing.
		p.headers(3, endStream, "grpc-status=0")
		if err := streams[1].RecvMsg(new(raw)); !errors.Is(err, io.EOF) {
			t.Errorf("the second: %v", err)
		}
		for i := range uint32(20) {
			call := invoke(t.Context(), cc, "x")
			p.take()
			p.held = nil
			p.blockFrames(last+4+2*i, endStream, p.block(response("grpc-status=9", "grpc-message="+large[:100_000])...))
			if r := <-call; len(status.Convert(r.err).Message()) != 100_000 {
				t.Fatalf("call %d: %.200v", i, r.err)
			}
		}
	})
}

// TestRestOfBudget: a status for which there is not enough room keeps as much of its
// text as there is room for.
func TestRestOfBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{})
		if _, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod); err != nil {
			t.Fatal(err)
		}
		p.take()
		p.blockFrames(1, 0, p.block(response("large="+strings.Repeat("x", 8_300_000))...))
		call := invoke(t.Context(), cc, "x")
		p.take()
		p.blockFrames(3, endStream, p.block(response("grpc-status=9", "grpc-message="+strings.Repeat("y", 1<<20))...))
		got := status.Convert((<-call).err)
		if n := strings.Count(got.Message(), "y"); got.Code() != codes.FailedPrecondition || n < 500_000 || n > 700_000 {
			t.Errorf("got %v with %d bytes of the text", got.Code(), n)
		}
	})
}

// TestHeaderListAdvice: a client without a limit announces none, so that servers send
// everything; servers announce theirs.
func TestHeaderListAdvice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if p, _ := scriptServer(t, h2grpc.ClientConfig{}); p.list.Load() != 0 {
			t.Errorf("a client says %d", p.list.Load())
		}
		if p, _ := scriptServer(t, h2grpc.ClientConfig{MaxHeaderListSize: 12_345}); p.list.Load() != 12_345 {
			t.Errorf("a client with a limit says %d", p.list.Load())
		}
		if p, _ := scriptClient(t, setup{}); p.list.Load() != h2grpc.DefaultServerMaxHeaderListSize {
			t.Errorf("a server says %d", p.list.Load())
		}
	})
}

// TestStatusesOwed: no more calls begin while a client does not read the large
// statuses of earlier calls, including streams, and they begin when it does.
func TestStatusesOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := 0
		p, _ := scriptClient(t, setup{service: &testService{
			unary: func(_ context.Context, in *raw) (*raw, error) {
				begun++
				return in, nil
			},
			stream: func(h2grpc.ServerStream) error {
				return status.Error(codes.Aborted, strings.Repeat("x", 1<<20))
			},
		}})
		p.stopReading()
		for i := range uint32(8) {
			p.headers(1+2*i, endStream, request(bidiMethod)...)
			synctest.Wait()
		}
		p.headers(17, 0, request(unaryMethod)...)
		p.data(17, endStream, grpcMsg("x"))
		synctest.Wait()
		if begun != 0 {
			t.Error("a call has begun while 8 MiB of statuses are backlog")
		}
		p.readAgain()
		synctest.Wait()
		p.take()
		failed, answered := 0, 0
		for _, line := range p.held {
			if matches("HEADERS …grpc-status=10…END_STREAM", line) {
				failed++
			} else if matches("DATA 17 …", line) {
				answered++
			}
		}
		if failed != 8 || answered != 1 || begun != 1 {
			t.Errorf("%d statuses came, and %d answers of %d calls", failed, answered, begun)
		}
	})
}
