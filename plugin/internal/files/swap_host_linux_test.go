package files_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

var starts = flag.Int("starts", 20, "how many plugins are started beside somebody who swaps their directories")

var shake = plugin.Handshake{ProtocolVersion: 1, MagicCookieKey: "TN_SWAPPED_PLUGIN", MagicCookieValue: "yes"}

// networkEnv is the network that such a host uses. A plugin that makes sockets follows
// its path, with no more rights than the process that swaps the path.
const networkEnv = "TN_NETWORK"

// servePlugin makes this test binary a plugin.
func servePlugin() {
	plugin.Serve(&plugin.ServeConfig{Sockets: plugin.Sockets{Network: os.Getenv(networkEnv)}, Handshake: shake, Plugins: plugin.Set{"none": plugin.ServeOnly(func(*plugin.Broker, *h2grpc.Server) error { return nil })}})
}

// startPlugins starts plugins, serves them something through the broker and closes them,
// n times, in a place where everything is swapped. What the swapping prevents is no
// failure.
func startPlugins(base, program string, n int) map[string]int {
	went := map[string]int{}
	for i := range n {
		cmd := exec.Command(program)
		cmd.Dir = "/"
		network := "tcp"
		if os.Geteuid() == 0 {
			network = "unix"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
		cfg := &host.Config{
			Handshake: shake, Cmd: cmd, Curve: host.P256, Sockets: host.Sockets{TempDir: placeIn(base).dir}, Env: []string{networkEnv + "=" + network, "GORACE=atexit_sleep_ms=0"},
			StartTimeout: 5 * time.Second, StopTimeout: time.Second, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
			Multiplex: i%4 == 3,
		}
		c, err := host.Start(context.Background(), cfg)
		if err != nil {
			went["refused"]++
			continue
		}
		went["started"]++
		for range 8 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			if _, err := c.Broker().Serve(ctx, func(*h2grpc.Server) error { return nil }); err == nil {
				went["served"]++
			}
			cancel()
		}
		c.Close()
	}
	return went
}

func playHost(base string) {
	if *starts > 0 {
		self, err := os.Executable()
		if err != nil {
			panic(err)
		}
		fmt.Println(startPlugins(base, self, *starts))
	}
	went, err := operate(base, *rounds)
	fmt.Println(went, err)
}
