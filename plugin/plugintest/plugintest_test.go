package plugintest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/plugintest"
	"github.com/tenonrpc/tenon/wire"
)

// hostVariable makes the test binary a host that attaches to the plugin "echo" of the
// variable TF_REATTACH_PROVIDERS.
const hostVariable = "TN_PLUGINTEST_HOST"

func TestMain(m *testing.M) {
	if os.Getenv(hostVariable) != "" {
		if err := attach(os.Getenv(wire.EnvReattach)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	before := runtime.NumGoroutine()
	code := m.Run()
	deadline := time.Now().Add(patience)
	for runtime.NumGoroutine() > before && code == 0 {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines are left:\n%s\n", buf[:runtime.Stack(buf, true)])
			code = 1
		}
		runtime.Gosched()
	}
	os.Exit(code)
}

// patience is how long a test waits for what must happen at once.
const patience = 20 * time.Second

// echo is the application of these tests. Its messages are strings, so that the tests
// need no generated code.
type echo struct{ prefix string }

type words struct{ text string }

func (w *words) AppendTo(b []byte) ([]byte, error) { return append(b, w.text...), nil }
func (w *words) UnmarshalFrom(b []byte) error      { w.text = string(b); return nil }

func method(name string, f func(context.Context, string) (string, error)) h2grpc.MethodDesc {
	return h2grpc.MethodDesc{
		MethodName: name,
		Handler: func(_ any, ctx context.Context, dec func(any) error, _ h2grpc.UnaryServerInterceptor) (any, error) {
			var in words
			if err := dec(&in); err != nil {
				return nil, err
			}
			out, err := f(ctx, in.text)
			return &words{out}, err
		},
	}
}

// say serves one method, which answers with a prefix, under the name of a service.
func say(s *h2grpc.Server, service, prefix string) {
	s.RegisterService(&h2grpc.ServiceDesc{ServiceName: service, Methods: []h2grpc.MethodDesc{
		method("Say", func(_ context.Context, in string) (string, error) { return prefix + in, nil }),
	}}, nil)
}

func called(ctx context.Context, cc *h2grpc.ClientConn, name, text string) (string, error) {
	var reply words
	err := cc.Invoke(ctx, name, &words{text}, &reply)
	return reply.text, err
}

func (e echo) GRPCServer(b *plugin.Broker, s *h2grpc.Server) error {
	s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Echo", Methods: []h2grpc.MethodDesc{
		method("Echo", func(_ context.Context, in string) (string, error) { return e.prefix + in, nil }),
		method("Lend", func(context.Context, string) (string, error) {
			id, err := b.Serve(context.Background(), func(s *h2grpc.Server) error {
				say(s, "test.Lent", "the plugin lends ")
				return nil
			})
			return fmt.Sprint(id), err
		}),
		method("Borrow", func(ctx context.Context, in string) (string, error) {
			var id uint32
			if _, err := fmt.Sscan(in, &id); err != nil {
				return "", err
			}
			cc, err := b.Dial(ctx, id)
			if err != nil {
				return "", err
			}
			defer cc.Close()
			return called(ctx, cc, "/test.Lent/Say", "a word")
		}),
		method("Hang", func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}),
	}}, e)
	return nil
}

func (echo) GRPCClient(_ context.Context, b *plugin.Broker, cc *h2grpc.ClientConn) (any, error) {
	return &client{b, cc}, nil
}

type client struct {
	broker *plugin.Broker
	cc     *h2grpc.ClientConn
}

func (c *client) call(ctx context.Context, method, text string) (string, error) {
	return called(ctx, c.cc, "/test.Echo/"+method, text)
}

func (c *client) want(t *testing.T, method, text, want string) {
	t.Helper()
	if got, err := c.call(t.Context(), method, text); err != nil || got != want {
		t.Errorf("%s(%.40q) = %.40q (%d bytes), %v; want %.40q", method, text, got, len(got), err, want)
	}
}

// wantBroker uses the broker in both directions.
func (c *client) wantBroker(t *testing.T) {
	t.Helper()
	id, err := c.broker.Serve(t.Context(), func(s *h2grpc.Server) error {
		say(s, "test.Lent", "the host lends ")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.want(t, "Borrow", fmt.Sprint(id), "the host lends a word")
	answer, err := c.call(t.Context(), "Lend", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(answer, &id); err != nil {
		t.Fatal(err)
	}
	cc, err := c.broker.Dial(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	if got, err := called(t.Context(), cc, "/test.Lent/Say", "a word"); err != nil || got != "the plugin lends a word" {
		t.Errorf("the plugin's server says %q, %v", got, err)
	}
}

func TestDispense(t *testing.T) {
	c := plugintest.Dispense[*client](t, plugin.Set{"echo": echo{"1 "}}, "echo")
	c.want(t, "Echo", "hello", "1 hello")
	c.want(t, "Echo", strings.Repeat("long ", 1<<18), "1 "+strings.Repeat("long ", 1<<18))
	c.wantBroker(t)
}

func TestNew(t *testing.T) {
	c := plugintest.New(t, plugin.Set{"echo": echo{"1 "}})
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := called(t.Context(), c.Conn(), "/test.Echo/Echo", ""); status.Code(err) != codes.Canceled {
		t.Errorf("a call after the end: %v", err)
	}
}

func TestKill(t *testing.T) {
	c := plugintest.New(t, plugin.Set{"echo": echo{}})
	ended := make(chan error)
	go func() {
		_, err := called(t.Context(), c.Conn(), "/test.Echo/Hang", "")
		ended <- err
	}()
	c.Kill()
	if err := <-ended; err == nil {
		t.Error("a call in progress succeeds")
	}
	select {
	case <-c.Done():
	default:
		t.Error("Kill returned before the end")
	}
}

func TestStart(t *testing.T) {
	versions := map[int]plugin.Set{2: {"echo": echo{"2 "}}, 3: {"echo": echo{"3 "}}}
	for name, config := range map[string]*plugintest.Config{
		"plaintext":                {Host: host.Config{InsecurePlaintext: true}, Plugin: plugin.ServeConfig{Versions: versions}},
		"AutoMTLS":                 {Host: host.Config{}, Plugin: plugin.ServeConfig{Versions: versions}},
		"multiplexed":              {Host: host.Config{InsecurePlaintext: true, Multiplex: true}, Plugin: plugin.ServeConfig{Versions: versions}},
		"AutoMTLS and multiplexed": {Host: host.Config{Curve: host.P256, Multiplex: true}, Plugin: plugin.ServeConfig{Versions: versions}},
		"the host's versions":      {Host: host.Config{InsecurePlaintext: true, Versions: versions}},
	} {
		t.Run(name, func(t *testing.T) {
			c := plugintest.Start(t, config)
			if c.Version() != 3 {
				t.Errorf("version %d, want 3", c.Version())
			}
			e, err := host.Dispense[*client](t.Context(), c, "echo")
			if err != nil {
				t.Fatal(err)
			}
			e.want(t, "Echo", "x", "3 x")
			e.wantBroker(t)
		})
	}
}

// TestBubble runs a pair in fake time.
func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := plugintest.Dispense[*client](t, plugin.Set{"echo": echo{}}, "echo")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		begun := time.Now()
		if _, err := c.call(ctx, "Hang", ""); status.Code(err) != codes.DeadlineExceeded || time.Since(begun) != time.Hour {
			t.Errorf("the call ends with %v after %v", err, time.Since(begun))
		}
	})
}

// observed is a test that another test observes.
type observed struct {
	testing.TB
	failed string
}

func (o *observed) Fatal(args ...any) {
	o.failed = fmt.Sprint(args...)
	runtime.Goexit()
}

func (o *observed) Fatalf(format string, args ...any) { o.Fatal(fmt.Sprintf(format, args...)) }

func TestMistakes(t *testing.T) {
	set := plugin.Set{"echo": echo{}}
	broken := plugin.Set{"kv": plugin.ServeOnly(func(*plugin.Broker, *h2grpc.Server) error { return errors.New("no database") })}
	for want, run := range map[string]func(t testing.TB){
		"the pair does that itself": func(t testing.TB) { plugintest.Start(t, &plugintest.Config{Host: host.Config{Cmd: exec.Command("x")}}) },
		"(Sockets.Network, Sockets.Listen, Sockets.Dial": func(t testing.TB) {
			plugintest.Start(t, &plugintest.Config{Plugin: plugin.ServeConfig{Sockets: plugin.Sockets{Network: "tcp"}}})
		},
		"neither Plugins nor Versions":        func(t testing.TB) { plugintest.New(t, nil) },
		"no database":                         func(t testing.TB) { plugintest.New(t, broken) },
		`no plugin "other"`:                   func(t testing.TB) { plugintest.Dispense[*client](t, set, "other") },
		"which is not a":                      func(t testing.TB) { plugintest.Dispense[string](t, set, "echo") },
		"Process and Test must be nil":        func(t testing.TB) { plugintest.Serve(t, &plugin.ServeConfig{Test: new(plugin.TestMode)}) },
		"serving: plugin: registering \"kv\"": func(t testing.TB) { plugintest.Serve(t, &plugin.ServeConfig{Plugins: broken}) },
	} {
		o := &observed{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			run(o)
		}()
		<-done
		if !strings.Contains(o.failed, want) {
			t.Errorf("the test fails with %q; want %q", o.failed, want)
		}
	}
}

// attach is a host that finds a plugin as Terraform does.
func attach(value string) error {
	records, err := host.ParseProviders(value)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := host.Start(ctx, &host.Config{
		Handshake:         plugin.Handshake{ProtocolVersion: 5, MagicCookieKey: "K", MagicCookieValue: "V"},
		Reattach:          records["echo"],
		InsecurePlaintext: true,
	})
	if err != nil {
		return err
	}
	defer c.Close()
	got, err := called(ctx, c.Conn(), "/test.Echo/Echo", "from afar")
	if err == nil && got != "served: from afar" {
		err = fmt.Errorf("the plugin says %q", got)
	}
	return err
}

func TestServe(t *testing.T) {
	config := &plugin.ServeConfig{
		Handshake: plugin.Handshake{ProtocolVersion: 5, MagicCookieKey: "K", MagicCookieValue: "V"},
		Plugins:   plugin.Set{"echo": echo{"served: "}},
	}
	record, second := plugintest.Serve(t, config), plugintest.Serve(t, config)
	if !record.Test || record.PID != os.Getpid() || record.ProtocolVersion != 5 || record.Address == second.Address {
		t.Errorf("the records are %+v and %+v", record, second)
	}
	value, err := host.FormatProviders(map[string]*host.Reattach{"echo": record, "other": second})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a host leaves such a plugin running when it closes
		if err := attach(value); err != nil {
			t.Error(err)
		}
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), hostVariable+"=1", wire.EnvReattach+"="+value)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("another process: %v\n%s", err, out)
		}
	}
}

func TestServeLeavesNothing(t *testing.T) {
	var record *host.Reattach
	t.Run("serve", func(t *testing.T) {
		record = plugintest.Serve(t, &plugin.ServeConfig{Plugins: plugin.Set{"echo": echo{}}})
		conn, err := net.Dial(record.Network, record.Address)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	})
	if conn, err := net.Dial(record.Network, record.Address); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
	if record.Network != "unix" {
		return
	}
	if _, err := os.Stat(record.Address); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}
