package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// A host that uses one service makes the generated client from the connection.
func ExampleStart() {
	ctx := context.Background()
	client, err := host.Start(ctx, &host.Config{
		Handshake: kvshared.Handshake,
		Cmd:       kvPlugin("kv"), // exec.Command("/usr/lib/app/kv-plugin")
	})
	if err != nil {
		fmt.Println(err) // says what the plugin printed, and what to do about it
		return
	}
	defer client.Close()

	kv := kvpb.NewKVClient(client.Conn())
	if _, err := kv.Put(ctx, &kvpb.Entry{Key: "hello", Value: "world"}); err != nil {
		fmt.Println(err)
		return
	}
	entry, err := kv.Get(ctx, &kvpb.GetRequest{Key: "hello"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(entry.Value)
	_, err = kv.Get(ctx, &kvpb.GetRequest{Key: "goodbye"})
	fmt.Println(err)
	// Output:
	// world
	// rpc error: code = NotFound desc = "goodbye" has no value
}

// The error of a start that fails has the stage, and what can be done.
func ExampleStartError() {
	handshake := kvshared.Handshake
	handshake.ProtocolVersion = 7
	_, err := host.Start(context.Background(), &host.Config{
		Handshake: handshake,
		Plugins:   plugin.Set{"kv": kvshared.Plugin{}},
		Cmd:       kvPlugin("kv"),
		Logger:    quiet,
	})
	var failed *host.StartError
	if !errors.As(err, &failed) {
		fmt.Println("started, although the plugin has no version 7:", err)
		return
	}
	fmt.Println(failed.Stage)
	fmt.Println(failed.Err)
	fmt.Println(failed.ExitStatus.Ended) // it was still running, and was ended
	// Output:
	// checking the handshake
	// the plugin speaks version 1 of the application's protocol, this host 7
	// false
}

// With a set of plugins, which host and plugin share, a host gets its clients
// by name and type.
func ExampleDispense() {
	ctx := context.Background()
	client, err := host.Start(ctx, &host.Config{
		Handshake: kvshared.Handshake,
		Plugins:   plugin.Set{"kv": kvshared.Plugin{}},
		Cmd:       kvPlugin("kv"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	kv, err := host.Dispense[kvpb.KVClient](ctx, client, "kv")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = kv.Put(ctx, &kvpb.Entry{Key: "", Value: "world"})
	fmt.Println(status.Code(err) == codes.InvalidArgument, err)

	_, err = host.Dispense[kvpb.KVClient](ctx, client, "kw")
	fmt.Println(err)
	// Output:
	// true rpc error: code = InvalidArgument desc = the key is empty
	// host: no plugin "kw" in version 1 of Config; it has: kv
}

// A host that speaks several versions lists the plugins of each. The highest version
// that the plugin speaks too is chosen.
func ExampleConfig_versions() {
	ctx := context.Background()
	client, err := host.Start(ctx, &host.Config{
		Handshake: kvshared.Handshake,
		Versions: map[int]plugin.Set{
			2: {"kv": kvshared.Plugin{}},
			3: {"kv": kvshared.Plugin{}},
		},
		Cmd: kvPlugin("kv-old"), // which speaks 1 and 2
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	kv, err := host.Dispense[kvpb.KVClient](ctx, client, "kv") // the one of version 2
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := kv.Put(ctx, &kvpb.Entry{Key: "hello"}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("version", client.Version())
	// Output: version 2
}

// With multiplexing, brokered connections are streams of the one connection. Plugins
// that do not support it are refused.
func ExampleConfig_multiplex() {
	ctx := context.Background()
	config := &host.Config{
		Handshake: kvshared.Handshake,
		Cmd:       kvPlugin("kv"),
		Multiplex: true,
	}
	client, err := host.Start(ctx, config)
	if errors.Is(err, host.ErrMuxUnsupported) {
		config.Multiplex = false
		client, err = host.Start(ctx, config)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	fmt.Println("multiplexed:", config.Multiplex)
	fmt.Println("ping:", client.Ping(ctx))
	// Output:
	// multiplexed: true
	// ping: <nil>
}

// Limits and interceptors of the host's calls are in Client, those of the servers that
// the host offers the plugin in Server.
func ExampleConfig_client() {
	ctx := context.Background()
	client, err := host.Start(ctx, &host.Config{
		Handshake: kvshared.Handshake,
		Cmd:       kvPlugin("kv"),
		Client: h2grpc.ClientConfig{
			MaxSendMessageSize: 64,
			UnaryInterceptors: []h2grpc.UnaryClientInterceptor{
				// A call without a deadline gets one, so that none waits for ever.
				func(ctx context.Context, method string, req, reply any, cc *h2grpc.ClientConn, invoke h2grpc.UnaryInvoker, opts ...h2grpc.CallOption) error {
					if _, ok := ctx.Deadline(); !ok {
						fmt.Println(method, "gets a deadline")
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, time.Minute)
						defer cancel()
					}
					return invoke(ctx, method, req, reply, cc, opts...)
				},
			},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	kv := kvpb.NewKVClient(client.Conn())
	_, err = kv.Put(ctx, &kvpb.Entry{Key: "hello", Value: string(make([]byte, 1000))})
	fmt.Println(status.Code(err))
	// Output:
	// /example.kv.v1.KV/Put gets a deadline
	// ResourceExhausted
}

// A plugin's log records go to a slog.Logger, with their level and attributes; what the
// plugin prints goes to the writers of Output.
func ExampleOutput() {
	ctx := context.Background()
	var logged, printed bytes.Buffer
	client, err := host.Start(ctx, &host.Config{
		Handshake: kvshared.Handshake,
		Cmd:       kvPlugin("kv-talkative"),
		Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{
			Level:       slog.LevelWarn,
			ReplaceAttr: withoutWhen, // so that the example's output is always the same
		})),
		Output: host.Output{Stdout: &printed},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	kv := kvpb.NewKVClient(client.Conn())
	_, err = kv.Put(ctx, &kvpb.Entry{Key: "color", Value: "blue"})
	if err := errors.Join(err, client.Close()); err != nil { // after Close everything has arrived
		fmt.Println(err)
		return
	}
	fmt.Print("logged: ", logged.String())
	fmt.Print("printed: ", printed.String())
	// Output:
	// logged: level=WARN msg="an old spelling" module=kv key=color better=colour
	// printed: stored color
}

// When a plugin has ended by itself, Done is closed, and the errors of calls that
// failed because of it report how it ended.
func ExampleExitError() {
	ctx := context.Background()
	client, err := host.Start(ctx, &host.Config{
		Handshake: kvshared.Handshake,
		Cmd:       kvPlugin("kv-talkative"),
		Logger:    quiet,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	kv := kvpb.NewKVClient(client.Conn())
	_, err = kv.Put(ctx, &kvpb.Entry{}) // this makes it exit
	var ended *host.ExitError
	if !errors.As(err, &ended) {
		// A call waits only a moment to learn how the plugin ended. On a busy machine,
		// the next call knows.
		select {
		case <-client.Done():
		case <-time.After(time.Minute):
		}
		_, err = kv.Put(ctx, &kvpb.Entry{})
	}
	if !errors.As(err, &ended) {
		fmt.Println("it did not end:", err)
		return
	}
	fmt.Println("the call failed:", ended.Status)
	<-client.Done()
	fmt.Println("the plugin is gone:", client.ExitStatus())
	// Output:
	// the call failed: exit status 3
	// the plugin is gone: exit status 3
}

// A plugin that is to outlive its host is let go with Detach, and found again by its
// record, which is in a file that only this user can read.
func ExampleReadReattach() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "kv")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer remove(dir)
	file := filepath.Join(dir, "kv.plugin")

	if err := leave(ctx, file); err != nil {
		fmt.Println(err)
		return
	}

	// And later, usually in another process:
	record, err := host.ReadReattach(file)
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := host.Start(ctx, &host.Config{Handshake: kvshared.Handshake, Reattach: record})
	if err != nil {
		fmt.Println(err) // wraps ErrNotRunning if the plugin has ended
		return
	}
	entry, err := kvpb.NewKVClient(client.Conn()).Get(ctx, &kvpb.GetRequest{Key: "hello"})
	if err := errors.Join(err, client.Close()); err != nil { // Close ends the plugin
		fmt.Println(err)
		return
	}
	fmt.Println("still there:", entry.Value)
	// Output: still there: world
}

// leave starts a plugin, uses it, and lets it go.
func leave(ctx context.Context, file string) error {
	client, err := host.Start(ctx, &host.Config{
		Handshake: kvshared.Handshake,
		Cmd:       kvPlugin("kv"),
		Detach:    true,
	})
	if err != nil {
		return err
	}
	_, err = kvpb.NewKVClient(client.Conn()).Put(ctx, &kvpb.Entry{Key: "hello", Value: "world"})
	if err != nil {
		return errors.Join(err, client.Close())
	}
	record, err := client.ReattachWithKey() // a secret: whoever has it can use the plugin
	if err != nil {
		return errors.Join(err, client.Close())
	}
	if err := host.WriteReattach(file, record); err != nil {
		return errors.Join(err, client.Close())
	}
	return client.Detach()
}

// withoutWhen removes what differs from one run to the next.
func withoutWhen(_ []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case slog.TimeKey, "timestamp", "pid", "path", "plugin":
		return slog.Attr{}
	}
	return a
}
