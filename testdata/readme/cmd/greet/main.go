package main

import (
	"context"
	"fmt"
	"log"
	"os/exec"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"

	"example.com/app/greetpb"
)

func main() {
	if err := greet(context.Background(), "tenon"); err != nil {
		log.Fatal(err) // says what the plugin printed, and what to do about it
	}
}

func greet(ctx context.Context, name string) error {
	client, err := host.Start(ctx, &host.Config{
		Handshake: plugin.Handshake{ProtocolVersion: 1, MagicCookieKey: "GREET_PLUGIN", MagicCookieValue: "hello"},
		Cmd:       exec.Command("bin/greet-plugin"),
	})
	if err != nil {
		return err
	}
	defer client.Close()

	out, err := greetpb.NewGreeterClient(client.Conn()).Greet(ctx, &greetpb.GreetRequest{Name: name})
	if err != nil {
		return err
	}
	fmt.Println(out.Text)
	return nil
}
