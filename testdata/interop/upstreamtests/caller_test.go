//go:build unix

package upstreamtests

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/upstreamtests/doublepb"
)

// set is what the host can dispense.
var set = plugin.Set{"test": plugin.ClientOnly(func(_ context.Context, _ *plugin.Broker, conn *h2grpc.ClientConn) (doublepb.TestClient, error) {
	return doublepb.NewTestClient(conn), nil
})}

// caller uses a plugin of go-plugin's test binary.
type caller struct {
	client              *host.Client
	stdout, stderr, log *cases.Output
}

func (c *caller) dispense(ctx context.Context, t *testing.T) doublepb.TestClient {
	t.Helper()
	double, err := host.Dispense[doublepb.TestClient](ctx, c.client, "test")
	if err != nil {
		t.Fatal(err)
	}
	return double
}

// use does all that the plugin can do, and ends it.
func (c *caller) use(ctx context.Context, t *testing.T, broker bool) {
	double := c.dispense(ctx, t)
	if err := c.client.Ping(ctx); err != nil {
		t.Error(err)
	}
	if out, err := double.Double(ctx, &doublepb.TestRequest{Input: 21}); err != nil || out.Output != 42 {
		t.Errorf("twice 21 is %d, %v", out.GetOutput(), err)
	}
	if err := stream(ctx, double); err != nil {
		t.Error(err)
	}
	c.logs(ctx, t, double)
	c.prints(ctx, t, double)
	if broker {
		if err := c.brokers(ctx, double); err != nil {
			t.Errorf("the broker: %v", err)
		}
	}
	if err := c.client.Shutdown(ctx); err != nil {
		t.Errorf("ending the plugin: %v", err)
	}
	if got := c.client.ExitStatus(); !got.Ended || got.Code != 0 {
		t.Errorf("the plugin ended with %v", got)
	}
	if err := c.client.Err(); err != nil {
		t.Errorf("the plugin is said to have ended by itself: %v", err)
	}
}

func stream(ctx context.Context, double doublepb.TestClient) error {
	const numbers = 10
	s, err := double.Stream(ctx)
	if err != nil {
		return err
	}
	for n := range int32(numbers) {
		if err := s.Send(&doublepb.TestRequest{Input: n}); err != nil {
			return err
		}
		out, err := s.Recv()
		if err != nil {
			return err
		}
		if out.Output != n {
			return fmt.Errorf("the stream answered %d to %d", out.Output, n)
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("the stream ended with %v", err)
	}
	return nil
}

// logs looks for what the plugin logs, with its level and attributes.
func (c *caller) logs(ctx context.Context, t *testing.T, double doublepb.TestClient) {
	t.Helper()
	for _, in := range []*doublepb.PrintKVRequest{
		{Key: "foo", Value: &doublepb.PrintKVRequest_Text{Text: "bar"}},
		{Key: "foo", Value: &doublepb.PrintKVRequest_Number{Number: 12}},
	} {
		if _, err := double.PrintKV(ctx, in); err != nil {
			t.Error(err)
			continue
		}
		value := in.GetText()
		if value == "" {
			value = strconv.Itoa(int(in.GetNumber()))
		}
		if err := c.log.WaitLine(ctx, "level=INFO", `msg="PrintKV called"`, " foo="+value); err != nil {
			t.Errorf("foo=%s is not logged: %v", value, err)
		}
	}
}

// prints compares the plugin's output, byte for byte.
func (c *caller) prints(ctx context.Context, t *testing.T, double doublepb.TestClient) {
	t.Helper()
	const out, errs = "hello\nworld!", "and an\n error!"
	if _, err := double.PrintStdio(ctx, &doublepb.PrintStdioRequest{Stdout: []byte(out), Stderr: []byte(errs)}); err != nil {
		t.Error(err)
		return
	}
	for _, s := range []struct {
		name string
		got  *cases.Output
		want string
	}{{"stdout", c.stdout, out}, {"stderr", c.stderr, errs}} {
		if err := s.got.Wait(ctx, s.want); err != nil || s.got.String() != s.want {
			t.Errorf("%s is %q, not %q (%v)", s.name, s.got.String(), s.want, err)
		}
	}
}

// brokers has the plugin reach a server of this process's, and reaches one of
// the plugin's.
func (c *caller) brokers(ctx context.Context, double doublepb.TestClient) error {
	serving, stop := context.WithCancel(ctx)
	defer stop()
	id, err := c.client.Broker().Serve(serving, func(s *h2grpc.Server) error {
		doublepb.RegisterPingPongServer(s, pong{})
		return nil
	})
	if err != nil {
		return err
	}
	out, err := double.Bidirectional(ctx, &doublepb.BidirectionalRequest{Id: id})
	if err != nil {
		return err
	}
	conn, err := c.client.Broker().Dial(ctx, out.Id)
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := doublepb.NewPingPongClient(conn).Ping(ctx, &doublepb.PingRequest{})
	if err == nil && answer.Msg != "pong" {
		err = fmt.Errorf("the plugin answered %q", answer.Msg)
	}
	return err
}

type pong struct {
	doublepb.UnimplementedPingPongServer
}

func (pong) Ping(context.Context, *doublepb.PingRequest) (*doublepb.PongResponse, error) {
	return &doublepb.PongResponse{Msg: "pong"}, nil
}

// crash makes the plugin panic. Both the call and the client then say so.
func (c *caller) crash(ctx context.Context, t *testing.T) {
	const message = "invalid foo bar"
	_, err := c.dispense(ctx, t).Panic(ctx, &doublepb.PanicRequest{Message: message})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("the call that the plugin died in returned %v", err)
	}
	for _, err := range []error{err, func() error { <-c.client.Done(); return c.client.Err() }()} {
		var exit *host.ExitError
		switch {
		case !errors.As(err, &exit):
			t.Errorf("%v is not an ExitError", err)
		case exit.Status.Code != 2 || !strings.Contains(string(exit.Stderr), "panic: "+message):
			t.Errorf("the error does not tell of the panic: %v", err)
		}
	}
	if err := c.log.WaitLine(ctx, "level=ERROR", "panic: "+message); err != nil {
		t.Errorf("the panic is not logged as an error: %v", err)
	}
}

// letting is a Runner whose plugin ends by itself, and is let to.
type letting struct {
	host.SameAddresses
	cmd            *exec.Cmd
	stdout, stderr *os.File
	ended          chan struct{} // closed when it has
}

// Run starts the command.
func (l *letting) Run(_ context.Context, launch *host.Launch) (host.Process, error) {
	out, outWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer outWrite.Close()
	errs, errWrite, err := os.Pipe()
	if err != nil {
		out.Close()
		return nil, err
	}
	defer errWrite.Close()
	l.cmd.Env, l.cmd.ExtraFiles = launch.Env, launch.Files
	l.cmd.Stdout, l.cmd.Stderr = outWrite, errWrite
	if err := l.cmd.Start(); err != nil {
		out.Close()
		errs.Close()
		return nil, err
	}
	l.stdout, l.stderr = out, errs
	return l, nil
}

// Name names the program.
func (l *letting) Name() string { return l.cmd.Path }

// ID is the process id.
func (l *letting) ID() string { return strconv.Itoa(l.cmd.Process.Pid) }

// Stdout is a pipe.
func (l *letting) Stdout() io.ReadCloser { return l.stdout }

// Stderr is a pipe.
func (l *letting) Stderr() io.ReadCloser { return l.stderr }

// Wait waits for the process.
func (l *letting) Wait(context.Context) error {
	defer close(l.ended)
	return l.cmd.Wait()
}

// Kill waits for the process, too.
func (l *letting) Kill(context.Context) error {
	<-l.ended
	return nil
}

// Diagnose has nothing to say.
func (l *letting) Diagnose(context.Context) string { return "" }
