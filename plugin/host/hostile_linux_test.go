package host_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/wire"
)

// The environment that a plugin was started with, which all processes of its user can
// read, has nothing of the host's except what plugins need to run; and what the plugin
// starts gets none of the protocol's variables.
func TestSecretsStayOutOfTheEnvironment(t *testing.T) {
	noLeaks(t)
	secrets := []string{"AWS_SECRET_ACCESS_KEY", "VAULT_TOKEN", "DATABASE_URL", "SSH_AUTH_SOCK", "HTTPS_PROXY", "LD_PRELOAD_X", "GITHUB_TOKEN"}
	for _, name := range secrets {
		t.Setenv(name, "hush-hush")
	}
	c := start(t, fakeConfig(t, "real"))
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", c.PID()))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(wire.EnvClientCert+"=")) {
		t.Fatalf("this is not the plugin's environment: %q", text)
	}
	if bytes.Contains(text, []byte("hush-hush")) || bytes.Contains(text, []byte("PRIVATE KEY")) {
		t.Errorf("the plugin's environment holds a secret: %q", text)
	}
	closes(t, c)
}

// A plugin announces, as its own brokered server, the host's listener or the plugin's
// main socket. The host does not connect to itself; that the plugin answers on its own
// socket does no harm.
func TestDialsToOneself(t *testing.T) {
	for name, plaintext := range map[string]bool{"AutoMTLS": false, "plaintext": true} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			cfg := withEcho(t, "lends-elsewhere")
			cfg.InsecurePlaintext = plaintext
			cfg.Env = append(cfg.Env, networkEnv+"=unix", addressEnv+"=host")
			c := start(t, cfg)
			l, err := c.Broker().Accept(t.Context(), c.Broker().NextID())
			if err != nil {
				t.Fatal(err)
			}
			reached := make(chan struct{}, 1)
			served := h2grpc.NewServer(&h2grpc.ServerConfig{})
			served.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Echo", Methods: []h2grpc.MethodDesc{
				method("Echo", func(context.Context, string) (string, error) { reached <- struct{}{}; return "", nil }),
			}}, nil)
			done := make(chan error, 1)
			go func() { done <- served.Serve(l) }()
			var lent words
			if err := c.Conn().Invoke(t.Context(), lenderMethod, new(words), &lent); err != nil {
				t.Fatal(err)
			}
			cc, err := c.Broker().Dial(t.Context(), idIn(t, lent.Service))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), ample)
			defer cancel()
			if err := cc.Invoke(ctx, echoMethod, new(words), new(words)); err == nil || ctx.Err() != nil {
				t.Errorf("calling: %v", err)
			}
			cc.Close()
			served.Close()
			<-done
			if len(reached) > 0 {
				t.Error("the host has called itself")
			}
			// An id that this side accepts itself cannot be dialled.
			own := c.Broker().NextID()
			l2, err := c.Broker().Accept(t.Context(), own)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel = context.WithTimeout(t.Context(), short)
			defer cancel()
			if _, err := c.Broker().Dial(ctx, own); err == nil {
				t.Error("the host has dialled itself")
			}
			l2.Close()
			usesBroker(t, c)
			closes(t, c)
		})
	}
}

// listensAsAnother is a plugin whose socket is another user's: the user who
// calls listen counts, not the one who has made the socket.
func listensAsAnother() {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	must(err)
	must(syscall.Bind(fd, &syscall.SockaddrUnix{Name: socketPath()}))
	cert := ownCert()
	must(syscall.Setresuid(-1, 65534, -1))
	must(syscall.Listen(fd, 1))
	must(syscall.Setresuid(-1, 0, -1))
	fmt.Println(line(1, 1, "unix", socketPath(), "grpc", cert))
	linger()
}

func TestPluginsOfUnexpectedUsers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	noLeaks(t)
	failed := failing(t, fakeConfig(t, "listens-as-another"))
	if failed.Stage != host.StageConnect || !strings.Contains(failed.Error(), "it runs as user 65534") || !strings.Contains(failed.Hint, "Sockets.AllowUIDs") {
		t.Errorf("got %v", failed)
	}
	// An allowed user's socket is connected to, and then does not answer.
	cfg := fakeConfig(t, "listens-as-another")
	cfg.Sockets.AllowUIDs = []int{65534}
	cfg.StartTimeout = short
	if failed := failing(t, cfg); strings.Contains(failed.Error(), "unexpected process") {
		t.Errorf("got %v", failed)
	}
}

// The plugin's first process is not the one that listens, but has started it.
func TestPlaintextUnderAShell(t *testing.T) {
	noLeaks(t)
	cfg := withEcho(t, "lender")
	cfg.Cmd.Args = []string{"sh", "-c", cfg.Cmd.Path + "; true"}
	cfg.Cmd.Path = "/bin/sh"
	cfg.InsecurePlaintext = true
	c := start(t, cfg)
	usesBroker(t, c)
	closes(t, c)
}
