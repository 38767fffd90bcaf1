package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/exec"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"

	"example.com/app/greetpb"
)

var (
	verbose = flag.Bool("v", false, "log at level debug")
	keep    = flag.String("keep", "", "leave the plugin running, and write its record to this `file`")
	record  = flag.String("record", "", "attach to the plugin whose record is in this `file`")
)

func main() {
	flag.Parse()
	if *verbose {
		slog.SetLogLoggerLevel(slog.LevelDebug)
	}
	if err := greet(context.Background(), "tenon"); err != nil {
		log.Fatal(err) // says what the plugin printed, and what to do about it
	}
}

func greet(ctx context.Context, name string) error {
	config, err := which()
	if err != nil {
		return err
	}
	client, err := host.Start(ctx, config)
	if err != nil {
		return err
	}
	defer client.Close() // ends the plugin, unless it is in test mode or let go

	out, err := greetpb.NewGreeterClient(client.Conn()).Greet(ctx, &greetpb.GreetRequest{Name: name})
	if err != nil {
		return err
	}
	fmt.Println(out.Text)
	if *keep == "" {
		return nil
	}
	r, err := client.ReattachWithKey()
	if err != nil {
		return err
	}
	if err := host.WriteReattach(*keep, r); err != nil {
		return err
	}
	fmt.Println("process", r.PID)
	return client.Detach()
}

// which says which plugin is meant: one that waits under a debugger, one that was
// left running, or a new one.
func which() (*host.Config, error) {
	config := &host.Config{
		Handshake: plugin.Handshake{ProtocolVersion: 1, MagicCookieKey: "GREET_PLUGIN", MagicCookieValue: "hello"},
	}
	if value := os.Getenv("GREET_REATTACH"); value != "" {
		records, err := host.ParseProviders(value)
		if err != nil {
			return nil, fmt.Errorf("GREET_REATTACH: %w", err)
		}
		if config.Reattach = records["greeter"]; config.Reattach == nil {
			return nil, fmt.Errorf("GREET_REATTACH has no plugin %q", "greeter")
		}
		config.InsecurePlaintext = true // test mode has no certificates
		return config, nil
	}
	if *record != "" {
		var err error
		config.Reattach, err = host.ReadReattach(*record)
		return config, err
	}
	config.Cmd = exec.Command("bin/greet-plugin")
	config.Detach = *keep != ""
	return config, nil
}
