package plugin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
)

// A plugin can be served within any program, such as one that a debugger has started, for
// hosts to attach to. ServeContext never exits the process, and ends with its context.
func ExampleServeContext() {
	ctx, stop := context.WithCancel(context.Background())
	records := make(chan plugin.Reattach, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- plugin.ServeContext(ctx, &plugin.ServeConfig{
			Handshake: handshake,
			Plugins:   plugin.Set{"kv": serveTable("users")},
			Test:      &plugin.TestMode{Ready: func(r plugin.Reattach) { records <- r }},
		})
	}()
	select {
	case record := <-records:
		fmt.Println(ask(&record))
	case err := <-ended:
		fmt.Println("not served:", err)
		ended <- err
	}
	stop()
	fmt.Println("ended:", <-ended)
	// Output:
	// a row of users <nil>
	// ended: <nil>
}

// ask is the host. A plugin that no host has started has no AutoMTLS, and its host does
// not end it: Close only closes the connection.
func ask(record *plugin.Reattach) (string, error) {
	client, err := host.Start(context.Background(), &host.Config{
		Handshake:         handshake,
		Reattach:          record,
		InsecurePlaintext: true,
	})
	if err != nil {
		return "", err
	}
	defer client.Close()
	entry, err := kvpb.NewKVClient(client.Conn()).Get(context.Background(), &kvpb.GetRequest{Key: "ada"})
	return entry.GetValue(), err
}

// A plugin's own log lines take the same way as the library's: through stderr to the
// host, which logs them with their level and attributes. The logger is made before Serve
// is called, because Serve replaces os.Stderr.
func ExampleNewLogger() {
	var stderr bytes.Buffer // os.Stderr in a plugin
	logger := plugin.NewLogger(&stderr, "kv")
	logger.Warn("the store is nearly full", "used", 990, "allowed", 1000)

	// What a host reads, without the time:
	var line map[string]any
	if err := json.Unmarshal(stderr.Bytes(), &line); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(line["@level"], line["@module"], line["@message"], line["used"], line["allowed"])
	// Output: warn kv the store is nearly full 990 1000
}
