package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/tenonrpc/tenon/cmd/internal/kv"
	"github.com/tenonrpc/tenon/cmd/internal/kvshared"
	"github.com/tenonrpc/tenon/cmd/languages/callbackpb"
	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/peer"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

// stopPatience bounds Close, which for a good plugin takes a fraction of it.
const stopPatience = 5 * time.Second

// hosting is how our host uses a plugin.
type hosting struct {
	plain     bool
	curve     host.Curve
	multiplex bool
	network   string // the one that the plugin must be on; empty means unix
	use       func(context.Context, *session) error
}

// A session is a plugin at work.
type session struct {
	*host.Client
	store  kv.KVClient
	out    *heard // what the plugin prints
	log    *heard // what it logs
	config *host.Config
}

// run starts a plugin, uses it and closes it. The plugin must end by itself,
// with exit status 0.
func (h hosting) run(ctx context.Context, cmd *exec.Cmd) (err error) {
	s, err := h.start(ctx, cmd)
	if err != nil {
		return err
	}
	defer s.Kill() // does nothing after a Close
	if err := s.met(ctx, h); err != nil {
		return err
	}
	if err := h.use(ctx, s); err != nil {
		return fmt.Errorf("%w\nits output: %s\nits log: %s", err, s.out.tail(), s.log.tail())
	}
	if err := s.Close(); err != nil {
		return fmt.Errorf("%w\nits log: %s", err, s.log.tail())
	}
	if e := s.ExitStatus(); !e.Ended || e.Code != 0 {
		return fmt.Errorf("the plugin ended with %v\nits log: %s", s.ExitStatus(), s.log.tail())
	}
	return nil
}

func (h hosting) start(ctx context.Context, cmd *exec.Cmd) (*session, error) {
	s := &session{out: newHeard(), log: newHeard()}
	s.config = &host.Config{
		Handshake:         kvshared.Handshake,
		Versions:          map[int]plugin.Set{1: kvshared.Plugins(nil)},
		Cmd:               cmd,
		Curve:             h.curve,
		InsecurePlaintext: h.plain,
		Multiplex:         h.multiplex,
		Env:               []string{"TMPDIR=" + os.TempDir()},
		StopTimeout:       stopPatience,
		Output:            host.Output{Stdout: s.out},
		Logger:            slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	client, err := host.Start(ctx, s.config)
	if err != nil {
		return nil, err
	}
	s.Client = client
	s.store, err = host.Dispense[kv.KVClient](ctx, client, kvshared.Name)
	return s, err
}

// met checks that the connection is the one that was asked for.
func (s *session) met(ctx context.Context, h hosting) error {
	if err := s.Ping(ctx); err != nil {
		return fmt.Errorf("the health check: %w", err)
	}
	var p peer.Peer
	if _, err := s.store.Delete(ctx, &kv.DeleteRequest{Key: "none"}, h2grpc.Peer(&p)); err != nil {
		return err
	}
	network := h.network
	if network == "" {
		network = "unix"
	}
	if (p.TLS == nil) != h.plain || p.Addr.Network() != network {
		return fmt.Errorf("the connection is on %s, and its TLS is %v", p.Addr.Network(), p.TLS)
	}
	return nil
}

// useStore makes a call of every kind.
func useStore(ctx context.Context, s *session) error {
	large := bytes.Repeat([]byte("large "), 1<<19)
	for _, value := range [][]byte{[]byte("small"), large} {
		put, err := s.store.Put(ctx, &kv.PutRequest{Key: "name", Value: value})
		if err != nil {
			return err
		}
		if want := len(value) == len(large); put.Replaced != want {
			return fmt.Errorf("Put says that it replaced a value: %v", put.Replaced)
		}
		got, err := s.store.Get(ctx, &kv.GetRequest{Key: "name"})
		if err != nil || !bytes.Equal(got.Value, value) {
			return fmt.Errorf("the call Get returned %d bytes of %d: %w", len(got.GetValue()), len(value), err)
		}
	}
	_, err := s.store.Get(ctx, &kv.GetRequest{Key: "keys für nichts"})
	if status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), "keys für nichts") {
		return fmt.Errorf("a key that is not there: %w", err)
	}
	return useStreams(ctx, s)
}

// useStreams makes the streaming calls.
func useStreams(ctx context.Context, s *session) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	watch, err := s.store.Watch(watching, &kv.WatchRequest{Prefix: "many/"})
	if err != nil {
		return err
	}
	if _, err := watch.Header(); err != nil {
		return fmt.Errorf("a watch without headers: %w", err)
	}
	putAll, err := s.store.PutAll(ctx)
	if err != nil {
		return err
	}
	const many = 100
	for i := range many {
		if err := putAll.Send(&kv.PutRequest{Key: fmt.Sprintf("many/%d", i), Value: []byte{byte(i)}}); err != nil {
			return err
		}
	}
	if all, err := putAll.CloseAndRecv(); err != nil || all.Stored != many {
		return fmt.Errorf("PutAll stored %d: %w", all.GetStored(), err)
	}
	for i := range many {
		event, err := watch.Recv()
		if err != nil || event.Kind != kv.WatchResponse_KIND_PUT || event.Key != fmt.Sprintf("many/%d", i) {
			return fmt.Errorf("event %d is %v: %w", i, event, err)
		}
	}
	stop()
	if _, err := watch.Recv(); status.Code(err) != codes.Canceled {
		return fmt.Errorf("a cancelled watch ends otherwise: %w", err)
	}
	getAll, err := s.store.GetAll(ctx)
	if err != nil {
		return err
	}
	for _, key := range []string{"many/7", "none"} {
		if err := getAll.Send(&kv.GetRequest{Key: key}); err != nil {
			return err
		}
		got, err := getAll.Recv()
		if err != nil || (got.Value == nil) != (key == "none") {
			return fmt.Errorf("GetAll of %s is %v: %w", key, got, err)
		}
	}
	if err := getAll.CloseSend(); err != nil {
		return err
	}
	if _, err := getAll.Recv(); err != io.EOF {
		return fmt.Errorf("GetAll ends otherwise: %w", err)
	}
	return nil
}

// useStdio makes the plugin print and log.
func useStdio(ctx context.Context, s *session) error {
	const text = "hello from inside the plugin"
	if _, err := s.store.Say(ctx, &kv.SayRequest{Level: kv.SayRequest_LEVEL_WARN, Text: text}); err != nil {
		return err
	}
	if err := s.out.wait(ctx, text+"\n"); err != nil {
		return err
	}
	return s.log.wait(ctx, `level=WARN msg="`+text+`"`)
}

// useBroker calls back: the plugin reaches a store of ours, and we one of its.
func useBroker(ctx context.Context, s *session) error {
	mine := &lent{put: make(chan *kv.PutRequest, 1)}
	id, err := s.Broker().Serve(ctx, func(server *h2grpc.Server) error {
		kv.RegisterKVServer(server, mine)
		return nil
	})
	if err != nil {
		return err
	}
	answer, err := callbackpb.NewCallbackClient(s.Conn()).CallBack(ctx, &callbackpb.CallBackRequest{HostStore: id, Key: "from", Value: []byte("the plugin")})
	if err != nil {
		return fmt.Errorf("the plugin calling back: %w", err)
	}
	select {
	case put := <-mine.put:
		if put.Key != "from" || string(put.Value) != "the plugin" {
			return fmt.Errorf("the plugin put %v", put)
		}
	default:
		return errors.New("the plugin has put nothing into the host's store")
	}
	conn, err := s.Broker().Dial(ctx, answer.PluginStore)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := s.store.Put(ctx, &kv.PutRequest{Key: "by", Value: []byte("the main connection")}); err != nil {
		return err
	}
	got, err := kv.NewKVClient(conn).Get(ctx, &kv.GetRequest{Key: "by"})
	if err != nil || string(got.Value) != "the main connection" {
		return fmt.Errorf("the plugin's brokered store has %q: %w", got.GetValue(), err)
	}
	return nil
}

// lent is a store that the host lends to its plugin.
type lent struct {
	kv.UnimplementedKVServer
	put chan *kv.PutRequest // has room for one
}

func (l *lent) Put(_ context.Context, in *kv.PutRequest) (*kv.PutResponse, error) {
	select {
	case l.put <- in:
		return &kv.PutResponse{}, nil
	default:
		return nil, status.Error(codes.ResourceExhausted, "one value is enough")
	}
}

// heard is a writer whose text can be waited for.
type heard struct {
	mu    sync.Mutex
	text  bytes.Buffer  // guarded by mu
	wrote chan struct{} // guarded by mu; closed and replaced by every Write
}

func newHeard() *heard { return &heard{wrote: make(chan struct{})} }

func (h *heard) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.wrote)
	h.wrote = make(chan struct{})
	return h.text.Write(b)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

// tail returns the end of the text, for an error.
func (h *heard) tail() string {
	const enough = 8 << 10
	text := h.String()
	return text[max(0, len(text)-enough):]
}

// wait waits for a text.
func (h *heard) wait(ctx context.Context, text string) error {
	for {
		h.mu.Lock()
		have, wrote := h.text.String(), h.wrote
		h.mu.Unlock()
		if strings.Contains(have, text) {
			return nil
		}
		select {
		case <-wrote:
		case <-ctx.Done():
			return fmt.Errorf("%q was not heard, but %q: %w", text, have, ctx.Err())
		}
	}
}
