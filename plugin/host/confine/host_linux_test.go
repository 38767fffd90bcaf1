package confine_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/confine"
)

// handshake is that of the plugin which this test binary plays when it finds the
// cookie.
var handshake = plugin.Handshake{ProtocolVersion: 1, MagicCookieKey: "TN_CONFINED", MagicCookieValue: "yes"}

// text is a message of one string.
type text string

func (m *text) AppendTo(b []byte) ([]byte, error) { return append(b, *m...), nil }
func (m *text) UnmarshalFrom(b []byte) error      { *m = text(b); return nil }

// servePlugin serves a method that makes an attempt, and one that dials back to the
// host.
func servePlugin() {
	plugin.Serve(&plugin.ServeConfig{Handshake: handshake, Plugins: plugin.Set{"try": plugin.ServeOnly(func(b *plugin.Broker, s *h2grpc.Server) error {
		s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Try", Methods: []h2grpc.MethodDesc{
			method("Try", func(_ context.Context, line string) (string, error) {
				if err := attempt(line); err != nil {
					return err.Error(), nil
				}
				return "done", nil
			}),
			method("CallBack", func(ctx context.Context, id string) (string, error) {
				var n uint32
				if _, err := fmt.Sscan(id, &n); err != nil {
					return "", err
				}
				cc, err := b.Dial(ctx, n)
				if err != nil {
					return "", err
				}
				defer cc.Close()
				var out text
				return "", cc.Invoke(ctx, "/test.Host/Name", new(text), &out)
			}),
		}}, nil)
		return nil
	})}})
}

// method describes a method whose messages are strings.
func method(name string, f func(context.Context, string) (string, error)) h2grpc.MethodDesc {
	return h2grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, dec func(any) error, _ h2grpc.UnaryServerInterceptor) (any, error) {
		var in text
		if err := dec(&in); err != nil {
			return nil, err
		}
		s, err := f(ctx, string(in))
		out := text(s)
		return &out, err
	}}
}

// TestPlugin confines a plugin of a host and lets it try to get out, over the
// connection that it must still be able to serve.
func TestPlugin(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	policy := own(confine.Policy{})
	if os.Getuid() == 0 {
		policy.Namespaces = confine.PID | confine.IPC | confine.Network
	}
	client, err := host.Start(t.Context(), &host.Config{Handshake: handshake, Cmd: exec.Command(os.Args[0]), StartCmd: policy.Start})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	call := func(method, in string) string {
		t.Helper()
		req, out := text(in), text("")
		if err := client.Conn().Invoke(t.Context(), "/test.Try/"+method, &req, &out); err != nil {
			t.Fatalf("%s %s: %v", method, in, err)
		}
		return string(out)
	}
	for _, c := range [][2]string{
		{"read " + secret, denied}, {"write " + secret, denied}, {"dial " + l.Addr().String(), ""}, {"privileges", "no new privileges"},
	} {
		if got := call("Try", c[0]); got == "done" || !strings.Contains(got, c[1]) {
			t.Errorf("%s: %s, want a refusal with %q", c[0], got, c[1])
		}
	}
	id, err := client.Broker().Serve(t.Context(), func(s *h2grpc.Server) error {
		s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Host", Methods: []h2grpc.MethodDesc{
			method("Name", func(context.Context, string) (string, error) { return "host", nil }),
		}}, nil)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	call("CallBack", fmt.Sprint(id))
	if err := client.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if status := client.ExitStatus(); !status.Ended || status.Code != 0 {
		t.Errorf("the plugin ended with %v", status)
	}
}

func TestPluginDoesNotStartUnconfined(t *testing.T) {
	_, err := host.Start(t.Context(), &host.Config{Handshake: handshake, Cmd: exec.Command(os.Args[0]), StartCmd: own(confine.Policy{Read: []string{"/no/such"}}).Start})
	if err == nil || !strings.Contains(err.Error(), "confine: Policy.Read: open /no/such") {
		t.Errorf("got %v, want the reason of the confinement", err)
	}
	_, err = host.Start(t.Context(), &host.Config{Handshake: handshake, Cmd: exec.Command(os.Args[0]), StartCmd: func(*exec.Cmd, string) error { return nil }})
	if err == nil || !strings.Contains(err.Error(), "StartCmd has not started the command") {
		t.Errorf("a StartCmd that does nothing: %v", err)
	}
}

// TestPluginCannotLeadItsHostElsewhere confines a plugin of the host's own user that
// may write where its directory is, and that tries to make its host clean up elsewhere.
func TestPluginCannotLeadItsHostElsewhere(t *testing.T) {
	victim := t.TempDir()
	precious := filepath.Join(victim, "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"plugin's directory", "directory above it"} {
		temp, err := os.MkdirTemp("", "tn")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(temp)
		policy := own(confine.Policy{Write: []string{temp}})
		var dir string
		client, err := host.Start(t.Context(), &host.Config{
			Handshake: handshake, Cmd: exec.Command(os.Args[0]), Sockets: host.Sockets{TempDir: temp},
			StartCmd: func(cmd *exec.Cmd, socketDir string) error {
				dir = socketDir
				return policy.Start(cmd, socketDir)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if what == "directory above it" {
			dir = filepath.Dir(dir)
		}
		for line, want := range map[string]string{"remove " + precious: denied, "lead " + dir + " " + victim: "done"} {
			req, out := text(line), text("")
			if err := client.Conn().Invoke(t.Context(), "/test.Try/Try", &req, &out); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: %s, want %s", line, out, want)
			}
		}
		if _, err := client.Broker().Accept(t.Context(), client.Broker().NextID()); err != nil {
			t.Logf("the %s is elsewhere: %v", what, err) // what it prevents is its own loss
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(victim); err != nil || len(left) != 1 || left[0].Name() != "precious" {
			t.Errorf("the %s is elsewhere, and there is %v, %v", what, left, err)
		}
	}
}
