package host_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

var kills = flag.Int("kills", 50, "how often host and plugin are killed at each stage")

// repetitions returns how often to repeat what is meant to be done n times: a tenth of
// that with -short or the race detector, which it logs.
func repetitions(t *testing.T, n int) int {
	t.Helper()
	if !testing.Short() && !raceEnabled {
		return n
	}
	few := max(n/10, 1)
	t.Logf("with -short or the race detector %d times instead of %d", few, n)
	return few
}

// inParallel calls f n times, with the numbers from 0 on, from several goroutines.
func inParallel(n, workers int, f func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(n, workers) {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				f(i)
			}
		})
	}
	all.Wait()
}

// onMessage is a log handler that waits for one message.
type onMessage struct {
	text string
	do   func()
	pid  *atomic.Int64 // takes the plugin's process id; may be nil
}

func (h *onMessage) Enabled(context.Context, slog.Level) bool { return true }
func (h *onMessage) WithGroup(string) slog.Handler            { return h }
func (h *onMessage) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, attr := range attrs {
		if attr.Key == "pid" && h.pid != nil {
			h.pid.Store(attr.Value.Int64())
		}
	}
	return h
}

func (h *onMessage) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.text {
		h.do()
	}
	return nil
}

// stagesPlugin has calls that do not end, and a stream.
type stagesPlugin struct{ realStderr *os.File }

// The plugin's methods.
const (
	stagesCall   = "/test.Stages/Call"   // prints "called" and waits for its end
	stagesDial   = "/test.Stages/Dial"   // prints "dialling" and dials what the host does not announce
	stagesServe  = "/test.Stages/Serve"  // serves all this again, and returns the id
	stagesDrain  = "/test.Stages/Drain"  // prints "called", "draining" when the plugin stops, and goes on for ever
	stagesStream = "/test.Stages/Stream" // sends a message and waits for its end
)

var streamDesc = h2grpc.StreamDesc{StreamName: "Stream", ServerStreams: true}

// unannounced is an id that nobody ever announces.
const unannounced = 12345

func (p stagesPlugin) GRPCServer(b *plugin.Broker, s *h2grpc.Server) error {
	p.register(b, s)
	return nil
}

func (p stagesPlugin) register(b *plugin.Broker, s *h2grpc.Server) {
	say := func(what string) { fmt.Fprintln(p.realStderr, what) }
	s.RegisterService(&h2grpc.ServiceDesc{
		ServiceName: "test.Stages",
		Methods: []h2grpc.MethodDesc{
			method("Call", func(ctx context.Context, _ string) (string, error) {
				say("called")
				<-ctx.Done()
				return "", ctx.Err()
			}),
			method("Dial", func(ctx context.Context, _ string) (string, error) {
				say("dialling")
				_, err := b.Dial(ctx, unannounced)
				return "", err
			}),
			method("Serve", func(context.Context, string) (string, error) {
				id, err := b.Serve(context.Background(), func(s *h2grpc.Server) error {
					p.register(b, s)
					return nil
				})
				return strconv.FormatUint(uint64(id), 10), err
			}),
			method("Drain", func(context.Context, string) (string, error) {
				say("called")
				_, err := b.Dial(context.Background(), unannounced)
				if errors.Is(err, plugin.ErrBrokerClosed) {
					say("draining")
				} else {
					say("the dial failed: " + err.Error())
				}
				linger()
				return "", err
			}),
		},
		Streams: []h2grpc.StreamDesc{{
			StreamName:    "Stream",
			ServerStreams: true,
			Handler: func(_ any, s h2grpc.ServerStream) error {
				if err := s.SendMsg(new(words)); err != nil {
					return err
				}
				<-s.Context().Done()
				return s.Context().Err()
			},
		}},
	}, p)
}

func (stagesPlugin) GRPCClient(context.Context, *plugin.Broker, *h2grpc.ClientConn) (any, error) {
	return nil, errors.ErrUnsupported
}

// stagesConfig is the configuration of that plugin.
func stagesConfig() *plugin.ServeConfig {
	return &plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"stages": stagesPlugin{os.Stderr}}}
}

func init() {
	// That plugin, with a main function that does not end.
	fakes["slow-main"] = func() {
		stderr := os.Stderr
		plugin.Serve(stagesConfig())
		fmt.Fprintln(stderr, "ending")
		linger()
	}
}

// openStream opens the plugin's stream and reads its message.
func openStream(ctx context.Context, c *host.Client) (h2grpc.ClientStream, error) {
	s, err := c.Conn().NewStream(ctx, &streamDesc, stagesStream)
	if err != nil {
		return nil, err
	}
	return s, errors.Join(s.SendMsg(new(words)), s.CloseSend(), s.RecvMsg(new(words)))
}
