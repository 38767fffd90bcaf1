// Plugin takes the place of the plugin of go-plugin's example "grpc".
package main

import (
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/interop/cases/examples/example"
	"github.com/tenonrpc/tenon/plugin/interop/cases/examples/example/kv"
)

func main() {
	store := &kv.Store{Written: "\n\nWritten by tenon's plugin"}
	example.Serve(map[int]plugin.Set{example.Handshake.ProtocolVersion: {"kv": store.Plugin()}})
}
