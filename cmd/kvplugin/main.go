// Kvplugin is the example's plugin: a store of keys and values. A host starts it, such
// as kvhost; started by hand it only prints that it is a plugin.
package main

import (
	"fmt"
	"os"

	"github.com/tenonrpc/tenon/cmd/internal/kvshared"
	"github.com/tenonrpc/tenon/plugin"
)

func main() {
	// The logger keeps the process's own standard error, which the host reads as log
	// lines. What is written to os.Stdout and os.Stderr once the plugin serves goes to
	// the host as plain output.
	logger := plugin.NewLogger(os.Stderr, "kvplugin")
	store := newStore(logger, func(text string) { fmt.Println(text) })
	plugin.Serve(&plugin.ServeConfig{
		Handshake: kvshared.Handshake,
		Plugins:   kvshared.Plugins(store),
		Logger:    logger,
		// nil, unless the program is built with -tags reflection: reflection.go
		Reflection: registerReflection,
	})
}
