package host_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// sandbox is a Runner. What it runs would be "bwrap" or "podman" with the plugin's
// path among the arguments; here it is the plugin itself.
type sandbox struct{ program *exec.Cmd }

func (s sandbox) Run(_ context.Context, launch *host.Launch) (host.Process, error) {
	// Pipes that Wait does not close: the host reads them to the end.
	stdout, stdoutWriter, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	stderr, stderrWriter, err := os.Pipe()
	if err != nil {
		stdout.Close()
		stdoutWriter.Close()
		return nil, err
	}
	cmd := exec.Command(s.program.Path)
	cmd.Stdin = s.program.Stdin
	cmd.Env = append(launch.Env, s.program.Env...)
	cmd.Stdout, cmd.Stderr = stdoutWriter, stderrWriter
	inherit(cmd, launch.Files) // cmd.ExtraFiles = launch.Files, except on Windows
	err = cmd.Start()
	stdoutWriter.Close() // the plugin has its own
	stderrWriter.Close()
	if err != nil {
		stdout.Close()
		stderr.Close()
		return nil, err
	}
	return &sandboxed{cmd: cmd, stdout: stdout, stderr: stderr}, nil
}

// sandboxed is a plugin that a sandbox has launched. It sees the host's files and
// network under the same names.
type sandboxed struct {
	host.SameAddresses
	cmd            *exec.Cmd
	stdout, stderr *os.File
}

func (s *sandboxed) Name() string                    { return s.cmd.Path }
func (s *sandboxed) ID() string                      { return strconv.Itoa(s.cmd.Process.Pid) }
func (s *sandboxed) Stdout() io.ReadCloser           { return s.stdout }
func (s *sandboxed) Stderr() io.ReadCloser           { return s.stderr }
func (s *sandboxed) Wait(context.Context) error      { return s.cmd.Wait() }
func (s *sandboxed) Kill(context.Context) error      { return s.cmd.Process.Kill() }
func (s *sandboxed) Diagnose(context.Context) string { return "" }

// A Runner launches the plugin instead of Cmd; everything else is as usual.
func ExampleRunner() {
	ctx := context.Background()
	client, err := host.Start(ctx, &host.Config{
		Handshake: kvshared.Handshake,
		Runner:    sandbox{kvPlugin("kv")},
		Logger: slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
			Level:       slog.LevelWarn, // nothing is logged at this level here
			ReplaceAttr: withoutWhen,
		})),
	})
	if err != nil {
		fmt.Println(err) // with what Diagnose returned
		return
	}
	_, err = kvpb.NewKVClient(client.Conn()).Put(ctx, &kvpb.Entry{Key: "hello"})
	fmt.Println(err)
	fmt.Println(client.Close(), client.ExitStatus())
	// Output:
	// <nil>
	// <nil> exit status 0
}
