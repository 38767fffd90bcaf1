//go:build !oldgoplugin

package interop_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/cases/leak"
	"github.com/tenonrpc/tenon/plugin/interop/cases/richpb"
	"github.com/tenonrpc/tenon/plugin/interop/upstream"
	"github.com/tenonrpc/tenon/plugin/interop/upstream/richgrpc"
)

// dyingHost is the first argument of this test binary when it is to be a host
// on go-plugin that is about to be killed: it is followed by the stage, the
// plugin and, for a shell between the two, what that runs.
const dyingHost = "dying-host"

// The descriptors of such a host, besides its standard streams.
const (
	heldFD   = 3 // handed down to the plugin, so that its end shows
	reportFD = 4 // takes a line when the host is where it should be
)

// farewell is the time within which a plugin must be gone after its host.
const farewell = 2 * time.Second

// dyingStages are the points at which hosts are killed.
var dyingStages = []string{"before handshake", "after handshake", "connected", "in a call", "in a stream"}

// richPlugin gives the bare client.
type richPlugin struct{ upstream.Plugin }

func (richPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return richgrpc.NewRichClient(conn), nil
}

// runDyingHost is the host, until it is killed.
func runDyingHost(args []string) (code int, ran bool) {
	if len(args) != 4 || args[0] != dyingHost {
		return 0, false
	}
	stage, cmd := args[1], exec.Command(args[2])
	if script := args[3]; script != "" {
		cmd = exec.Command("/bin/sh", "-c", script, args[2])
	}
	held := os.NewFile(heldFD, "held")
	report := os.NewFile(reportFD, "report")
	cmd.ExtraFiles = []*os.File{held, report}
	cmd.Stdin = os.Stdin
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  upstream.Handshake,
		Plugins:          plugin.PluginSet{cases.PluginName: richPlugin{}},
		Cmd:              cmd,
		AutoMTLS:         args[3] == "",
		StartTimeout:     cases.Timeout,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:           hclog.NewNullLogger(),
	})
	if err := reach(stage, client); err != nil {
		fmt.Fprintln(report, err)
		client.Kill()
		return 1, true
	}
	held.Close() // what holds it now is the plugin's
	fmt.Fprintln(report, "there")
	<-make(chan int)
	return 0, true
}

// reach brings a host to a stage.
func reach(stage string, client *plugin.Client) error {
	// Before the handshake, the script in the plugin's place says that the host
	// is there, and Start does not return.
	if _, err := client.Start(); err != nil || stage == "after handshake" {
		return err
	}
	proto, err := client.Client()
	if err != nil || stage == "connected" {
		return err
	}
	raw, err := proto.Dispense(cases.PluginName)
	if err != nil {
		return err
	}
	rich := raw.(richgrpc.RichClient)
	ctx := context.Background()
	if stage == "in a stream" {
		stream, err := rich.Hold(ctx, &richpb.HoldRequest{Key: "held"})
		if err != nil {
			return err
		}
		_, err = stream.Recv()
		return err
	}
	go rich.Released(ctx, &richpb.HoldRequest{Key: "never held"})
	// By the time that these have their answers, the call before is there.
	for range 2 {
		if _, err := rich.Echo(ctx, &richpb.EchoRequest{}); err != nil {
			return err
		}
	}
	return nil
}

// TestPluginsDoNotOutliveTheirHost has plugins of this library under hosts of
// the other, which know nothing of lifelines.
func TestPluginsDoNotOutliveTheirHost(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells that nobody reads a pipe")
	}
	for _, shell := range []bool{false, true} {
		for _, stage := range dyingStages {
			name := stage
			if shell {
				name += ", under a shell"
			}
			t.Run(name, func(t *testing.T) {
				before := leak.Now()
				// The first cleanup is the last to run.
				t.Cleanup(func() {
					if err := before.Since(true, true); err != nil {
						t.Error(err)
					}
				})
				killHost(t, stage, shell)
				passed("go-plugin, killed", "tenon", cases.Mode{AutoMTLS: !shell}, name)
			})
		}
	}
}

// killHost starts a host, kills it at a stage and requires that the plugin is
// gone soon.
func killHost(t *testing.T, stage string, shell bool) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := ""
	if shell {
		script = `"$0"; true`
	}
	if stage == "before handshake" {
		// The plugin starts when its host is dead.
		script = `echo there >&4; read line; exec "$0"`
		if shell {
			script = `echo there >&4; read line; "$0"; true`
		}
	}
	heldR, heldW := pipe(t)
	reportR, reportW := pipe(t)
	stdinR, stdinW := pipe(t)
	cmd := exec.Command(self, dyingHost, stage, program(tenonPlugin), script)
	cmd.Stdin = stdinR
	cmd.ExtraFiles = []*os.File{heldW, reportW}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	heldW.Close()
	reportW.Close()
	if line, err := bufio.NewReader(reportR).ReadString('\n'); line != "there\n" {
		t.Errorf("the host reports %q, %v", line, err)
	}
	begun := time.Now()
	cmd.Process.Kill()
	cmd.Wait()
	stdinW.Close()
	heldR.SetReadDeadline(begun.Add(farewell))
	if _, err := heldR.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the plugin lives %v after its host: %v", farewell, err)
	}
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}
