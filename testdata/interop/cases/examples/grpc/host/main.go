// Host takes the place of the host of go-plugin's example "grpc": it runs the
// plugin that KV_PLUGIN names, and gets or puts a value.
package main

import (
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/interop/cases/examples/example"
	"github.com/tenonrpc/tenon/plugin/interop/cases/examples/example/kv"
)

func main() {
	example.Host(&host.Config{Cmd: example.Shell("KV_PLUGIN")}, kv.Use)
}
