// Plugin takes the place of the plugin of go-plugin's example "negotiated". Its
// version 2 is over gRPC too, which the original's is not.
package main

import (
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/interop/cases/examples/example"
	"github.com/tenonrpc/tenon/plugin/interop/cases/examples/example/kv"
)

func main() {
	two := &kv.Store{Written: "\n\nWritten by version 2 of tenon's plugin\n", Read: "Read by version 2 of tenon's plugin\n"}
	three := &kv.Store{Written: "\n\nWritten by version 3 of tenon's plugin\n", Read: "Read by version 3 of tenon's plugin\n"}
	example.Serve(map[int]plugin.Set{2: {"kv": two.Plugin()}, 3: {"kv": three.Plugin()}})
}
