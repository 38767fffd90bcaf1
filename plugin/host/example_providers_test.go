package host_test

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// A host that attaches to plugins being debugged reads them from a variable of its own
// name, or from the one that Terraform and OpenTofu use for that.
func ExampleParseProviders() {
	value, stop, err := debugged() // os.Getenv("APP_REATTACH"), say
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()

	records, err := host.ParseProviders(value)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	for _, name := range slices.Sorted(maps.Keys(records)) {
		client, err := host.Start(ctx, &host.Config{
			Handshake:         kvshared.Handshake,
			Reattach:          records[name],
			InsecurePlaintext: true, // such plugins have no certificates
		})
		if err != nil {
			fmt.Println(err)
			continue
		}
		_, err = kvpb.NewKVClient(client.Conn()).Put(ctx, &kvpb.Entry{Key: "hello"})
		fmt.Println(name, err)
		fmt.Println(client.Close()) // lets go of it: it is not this host's to end
	}
	// Output:
	// registry.terraform.io/acme/kv <nil>
	// <nil>
}

// debugged serves the plugin as under a debugger. It returns what the plugin would
// print for a person to copy.
func debugged() (value string, stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	records := make(chan plugin.Reattach, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- plugin.ServeContext(ctx, &plugin.ServeConfig{
			Handshake: kvshared.Handshake,
			Plugins:   plugin.Set{"kv": kvshared.Plugin{}},
			Test:      &plugin.TestMode{Ready: func(r plugin.Reattach) { records <- r }},
		})
	}()
	select {
	case err := <-ended:
		cancel()
		return "", nil, fmt.Errorf("the plugin is not served: %w", err)
	case record := <-records:
		stop = func() { cancel(); <-ended }
		value, err = host.FormatProviders(map[string]*host.Reattach{"registry.terraform.io/acme/kv": &record})
		if err != nil {
			stop()
			return "", nil, err
		}
		return value, stop, nil
	}
}
