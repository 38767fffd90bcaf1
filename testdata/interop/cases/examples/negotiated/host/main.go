// Host takes the place of the host of go-plugin's example "negotiated": it runs
// ./kv-plugin, of whose versions 2 and 3 only the latter speaks gRPC.
package main

import (
	"os/exec"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/interop/cases/examples/example"
	"github.com/tenonrpc/tenon/plugin/interop/cases/examples/example/kv"
)

func main() {
	example.Host(&host.Config{
		Cmd:      exec.Command("./kv-plugin"),
		Versions: map[int]plugin.Set{3: {}},
	}, kv.Use)
}
