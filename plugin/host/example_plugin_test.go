package host_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/sloghclog"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// kvPlugin returns the command of a plugin. An application has
// exec.Command("/usr/lib/app/kv-plugin"); the plugins of the examples are this
// test program, which serves what reals has under the name.
func kvPlugin(name string) *exec.Cmd {
	cmd := exec.Command(testProgram())
	cmd.Env = []string{fakeEnv + "=" + name, "GORACE=atexit_sleep_ms=0"}
	cmd.Stdin = alive
	return cmd
}

func testProgram() string {
	path, err := os.Executable()
	must(err)
	return path
}

// quiet is for plugins whose log does not matter in the examples.
var quiet = slog.New(slog.DiscardHandler)

func init() {
	reals["kv"] = func() *plugin.ServeConfig {
		return &plugin.ServeConfig{
			Handshake: kvshared.Handshake,
			Plugins:   plugin.Set{"kv": kvshared.Plugin{}},
		}
	}
	reals["kv-old"] = func() *plugin.ServeConfig {
		return &plugin.ServeConfig{
			Handshake: kvshared.Handshake,
			Versions: map[int]plugin.Set{
				1: {"kv": kvshared.Plugin{}},
				2: {"kv": kvshared.Plugin{}},
			},
		}
	}
	reals["kv-talkative"] = func() *plugin.ServeConfig {
		logger := slog.New(sloghclog.NewHandler(os.Stderr, &sloghclog.Options{Module: "kv"}))
		return &plugin.ServeConfig{
			Handshake: kvshared.Handshake,
			Plugins: plugin.Set{"kv": plugin.ServeOnly(func(_ *plugin.Broker, s *h2grpc.Server) error {
				kvpb.RegisterKVServer(s, talkative{kvshared.NewStore(), logger})
				return nil
			})},
		}
	}
	reals["kv-own-tls"] = func() *plugin.ServeConfig {
		config, err := serverTLS(os.Getenv("KV_CERTIFICATES"))
		must(err)
		return &plugin.ServeConfig{
			Handshake: kvshared.Handshake,
			Plugins:   plugin.Set{"kv": kvshared.Plugin{}},
			TLS:       config,
		}
	}
}

// talkative is a store that logs what it does.
type talkative struct {
	*kvshared.Store
	logger *slog.Logger
}

func (t talkative) Put(ctx context.Context, in *kvpb.Entry) (*kvpb.PutResponse, error) {
	switch in.Key {
	case "":
		fmt.Println("an entry without a key: this is the end")
		os.Exit(3)
	case "color":
		t.logger.Warn("an old spelling", "key", in.Key, "better", "colour")
	}
	fmt.Println("stored", in.Key)
	return t.Store.Put(ctx, in)
}

// remove removes a directory that an example has made.
func remove(dir string) {
	if err := os.RemoveAll(filepath.Clean(dir)); err != nil {
		fmt.Println(err)
	}
}
