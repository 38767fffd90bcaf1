package main

import (
	"context"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"

	"example.com/app/greetpb"
)

type greeter struct {
	greetpb.UnimplementedGreeterServer
}

func (greeter) Greet(_ context.Context, in *greetpb.GreetRequest) (*greetpb.GreetResponse, error) {
	return &greetpb.GreetResponse{Text: "Hello, " + in.Name + "!"}, nil
}

func main() {
	plugin.Serve(&plugin.ServeConfig{
		Handshake: plugin.Handshake{ProtocolVersion: 1, MagicCookieKey: "GREET_PLUGIN", MagicCookieValue: "hello"},
		Plugins: plugin.Set{"greeter": plugin.ServeOnly(func(_ *plugin.Broker, s *h2grpc.Server) error {
			greetpb.RegisterGreeterServer(s, greeter{})
			return nil
		})},
	})
}
