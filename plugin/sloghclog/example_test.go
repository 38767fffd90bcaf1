package sloghclog_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/tenonrpc/tenon/plugin/sloghclog"
)

// A plugin logs with package log/slog, and its host shows the records with their level,
// module and attributes. The handler is made before plugin.Serve is called, because that
// replaces os.Stderr. The library can log to it too: plugin.ServeConfig{Logger: log}.
func Example() {
	var stderr bytes.Buffer // os.Stderr in a plugin
	log := slog.New(sloghclog.NewHandler(&stderr, &sloghclog.Options{Module: "kv"}))
	log.Info("the store is open", "keys", 3, slog.Group("file", "name", "kv.db", "new", true))

	// What a host reads, without the time:
	var line map[string]any
	if err := json.Unmarshal(stderr.Bytes(), &line); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(line["@level"], line["@module"], line["@message"], line["keys"], line["file"])
	// Output: info kv the store is open 3 map[name:kv.db new:true]
}
