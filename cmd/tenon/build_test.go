package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// program is an application written for go-plugin: a service without generated code,
// host and plugin.
const program = `-- go.mod --
module example.org/app

go 1.26.0
-- shared/shared.go --
// Package shared is what host and plugin agree on.
package shared

import (
	"context"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Handshake is the same on both sides.
var Handshake = plugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "SHOUT",
	MagicCookieValue: "aloud",
}

// Shouter is what a plugin does.
type Shouter interface {
	Shout(ctx context.Context, text string) (string, error)
}

// Plugins is the set of both sides.
var Plugins = map[string]plugin.Plugin{"shouter": &ShouterPlugin{Impl: loud{}}}

var _ plugin.GRPCPlugin = (*ShouterPlugin)(nil)

// ShouterPlugin is both halves.
type ShouterPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	Impl Shouter
}

func (p *ShouterPlugin) GRPCServer(broker *plugin.GRPCBroker, s *grpc.Server) error {
	s.RegisterService(&desc, p.Impl)
	return nil
}

func (p *ShouterPlugin) GRPCClient(ctx context.Context, broker *plugin.GRPCBroker, c *grpc.ClientConn) (interface{}, error) {
	return &client{c}, nil
}

type client struct{ cc grpc.ClientConnInterface }

func (c *client) Shout(ctx context.Context, text string) (string, error) {
	var out wrapperspb.StringValue
	err := c.cc.Invoke(ctx, "/app.Shouter/Shout", wrapperspb.String(text), &out)
	if status.Code(err) == codes.InvalidArgument {
		return "nothing to shout", nil
	}
	return out.Value, err
}

var desc = grpc.ServiceDesc{
	ServiceName: "app.Shouter",
	HandlerType: (*Shouter)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Shout",
		Handler: func(srv any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var in wrapperspb.StringValue
			if err := dec(&in); err != nil {
				return nil, err
			}
			out, err := srv.(Shouter).Shout(ctx, in.Value)
			return wrapperspb.String(out), err
		},
	}},
}
-- shared/loud.go --
package shared

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type loud struct{}

func (loud) Shout(_ context.Context, text string) (string, error) {
	if text == "" {
		return "", status.Error(codes.InvalidArgument, "there is nothing to shout")
	}
	return strings.ToUpper(text) + "!", nil
}
-- cmd/shouter/main.go --
package main

import (
	"github.com/hashicorp/go-plugin"

	"example.org/app/shared"
)

func main() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: shared.Handshake,
		Plugins:         shared.Plugins,
		GRPCServer:      plugin.DefaultGRPCServer,
	})
}
-- cmd/shout/main.go --
package main

import (
	"fmt"
	"os"
	"os/exec"

	"github.com/hashicorp/go-plugin"

	"example.org/app/shared"
)

func main() {
	if err := shout(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func shout(path string) error {
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  shared.Handshake,
		Plugins:          shared.Plugins,
		Cmd:              exec.Command(path),
		AutoMTLS:         true,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		SyncStderr:       os.Stderr,
	})
	defer client.Kill()

	// The protocol has the plugins.
	rpc, err := client.Client()
	if err != nil {
		client.Kill()
		return fmt.Errorf("connecting: %w", err)
	}
	if err := rpc.Ping(); err != nil {
		return err
	}
	raw, err := rpc.Dispense("shouter")
	if err != nil {
		return err
	}
	for _, word := range []string{"hello", ""} {
		out, err := raw.(shared.Shouter).Shout(contextOf(), word)
		if err != nil {
			return err
		}
		fmt.Println(out, client.NegotiatedVersion())
	}
	return nil
}
-- cmd/shout/context.go --
package main

import "context"

func contextOf() context.Context { return context.Background() }
`

// TestMigratedProgramRuns migrates a program, and builds and runs it. Nothing is
// changed by hand.
func TestMigratedProgramRuns(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil && runtime.GOOS == "windows" {
		t.Skip("there is no go command here")
	}
	dir := unpack(t, program)
	stdout, stderr, status := tenon(t, dir, "migrate", "./...")
	if status != 0 || stdout != "" {
		t.Fatalf("status %d, stdout %q, stderr %q; want 0, and nothing left to do", status, stdout, stderr)
	}
	for name, text := range contents(t, dir) {
		if strings.Contains(text, oldPlugin) || strings.Contains(text, oldGRPC) {
			t.Errorf("%s is not migrated:\n%s", name, text)
		}
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o666); err != nil {
		t.Fatal(err)
	}
	command := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off", "GONOSUMDB=*")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, &stderr)
		}
		return string(out)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mod)) {
		// What the module needs is what its sums are of.
		if words := strings.Fields(strings.TrimPrefix(line, "require ")); len(words) >= 2 && strings.HasPrefix(words[1], "v") {
			command("go", "mod", "edit", "-require="+words[0]+"@"+words[1])
		}
	}
	command("go", "mod", "edit", "-require="+ours+"@v0.0.0", "-replace="+ours+"="+root)
	command("go", "vet", "./...")
	bin := filepath.Join(dir, "bin") + string(filepath.Separator)
	command("go", "build", "-o", bin, "./cmd/...")
	exe := ""
	if runtime.GOOS == "windows" {
		exe = ".exe"
	}
	wantText(t, "what the migrated host prints", command(bin+"shout"+exe, bin+"shouter"+exe), "HELLO! 1\nnothing to shout 1\n")
}
