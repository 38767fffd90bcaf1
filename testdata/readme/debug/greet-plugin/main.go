package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/wire"

	"example.com/app/greetpb"
)

type greeter struct {
	greetpb.UnimplementedGreeterServer
}

func (greeter) Greet(_ context.Context, in *greetpb.GreetRequest) (*greetpb.GreetResponse, error) {
	return &greetpb.GreetResponse{Text: "Hello, " + in.Name + "!"}, nil
}

func main() {
	debug := flag.Bool("debug", false, "wait for hosts that attach, instead of being started by one")
	flag.Parse()
	config := &plugin.ServeConfig{
		Handshake: plugin.Handshake{ProtocolVersion: 1, MagicCookieKey: "GREET_PLUGIN", MagicCookieValue: "hello"},
		Plugins: plugin.Set{"greeter": plugin.ServeOnly(func(_ *plugin.Broker, s *h2grpc.Server) error {
			greetpb.RegisterGreeterServer(s, greeter{})
			return nil
		})},
	}
	if *debug {
		config.Test = &plugin.TestMode{Ready: announce}
	}
	plugin.Serve(config)
}

// announce prints what hosts need in their environment to attach to this process.
func announce(r plugin.Reattach) {
	value := wire.AppendReattach(nil, map[string]wire.Reattach{"greeter": {
		Protocol: r.Protocol, ProtocolVersion: r.ProtocolVersion, PID: r.PID,
		Test: r.Test, Network: r.Network, Address: r.Address,
	}})
	fmt.Printf("export GREET_REATTACH='%s'\n", value)
}
