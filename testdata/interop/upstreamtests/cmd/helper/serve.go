package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/interop/upstreamtests/doublepb"
	"github.com/tenonrpc/tenon/plugin/interop/upstreamtests/modes"
)

// serve serves a mode that is a plugin.
func serve(mode modes.Mode) error {
	// The logger keeps the process's own stderr, which the host logs.
	log := plugin.NewLogger(os.Stderr, "")
	set := plugin.Set{"test": plugin.ServeOnly(func(broker *plugin.Broker, s *h2grpc.Server) error {
		doublepb.RegisterTestServer(s, &server{broker: broker, log: log})
		return modes.Record(mode)
	})}
	config := &plugin.ServeConfig{
		Handshake: plugin.Handshake{MagicCookieKey: "TEST_MAGIC_COOKIE", MagicCookieValue: "test"},
		Logger:    log,
		Server:    h2grpc.ServerConfig{UnaryInterceptors: []h2grpc.UnaryServerInterceptor{crash}},
	}
	ownTLS := false
	switch mode.Name {
	case "test-grpc", "test-interface-logger-grpc":
		config.ProtocolVersion, config.Plugins = 1, set
	case "test-grpc-tls":
		config.ProtocolVersion, config.Plugins, ownTLS = 1, set, true
	case "test-mtls":
		config.ProtocolVersion, config.Plugins = 2, set
	case "test-proto-upgraded-client":
		config.ProtocolVersion, config.Plugins, ownTLS = 2, set, true
	case "test-versioned-plugins", "test-proto-upgraded-plugin":
		// go-plugin's own test-proto-upgraded-plugin has version 1, too, in
		// net/rpc.
		config.Versions, ownTLS = map[int]plugin.Set{2: set}, true
	default:
		return fmt.Errorf("nothing is known of mode %s", mode.Name)
	}
	if ownTLS {
		var err error
		if config.TLS, err = modes.TLS(""); err != nil {
			return err
		}
	}
	plugin.Serve(config)
	return nil
}

// crash lets a handler's panic end the process, as it does with grpc-go. This
// library makes it an error of the call otherwise.
func crash(ctx context.Context, req any, _ *h2grpc.UnaryServerInfo, handler h2grpc.UnaryHandler) (any, error) {
	defer func() {
		if p := recover(); p != nil {
			debug.SetTraceback("all") // for the stack of this goroutine
			go panic(p)
			select {}
		}
	}()
	return handler(ctx, req)
}

// server is the service that go-plugin's tests call.
type server struct {
	doublepb.UnimplementedTestServer
	broker *plugin.Broker
	log    plugin.Logger
}

func (*server) Double(_ context.Context, in *doublepb.TestRequest) (*doublepb.TestResponse, error) {
	return &doublepb.TestResponse{Output: 2 * in.Input}, nil
}

func (s *server) PrintKV(_ context.Context, in *doublepb.PrintKVRequest) (*doublepb.PrintKVResponse, error) {
	var value any
	switch v := in.Value.(type) {
	case *doublepb.PrintKVRequest_Text:
		value = v.Text
	case *doublepb.PrintKVRequest_Number:
		value = v.Number
	default:
		return nil, errors.New("the request has no value")
	}
	s.log.Info("a key and its value", in.Key, value)
	return &doublepb.PrintKVResponse{}, nil
}

func (s *server) Bidirectional(ctx context.Context, in *doublepb.BidirectionalRequest) (*doublepb.BidirectionalResponse, error) {
	conn, err := s.broker.Dial(ctx, in.Id)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	pong, err := doublepb.NewPingPongClient(conn).Ping(ctx, &doublepb.PingRequest{})
	if err != nil {
		return nil, err
	}
	if pong.Msg != "pong" {
		return nil, fmt.Errorf("the host answered %q", pong.Msg)
	}
	// It is served until the plugin ends.
	id, err := s.broker.Serve(context.Background(), func(s *h2grpc.Server) error {
		doublepb.RegisterPingPongServer(s, pingPong{})
		return nil
	})
	return &doublepb.BidirectionalResponse{Id: id}, err
}

type pingPong struct {
	doublepb.UnimplementedPingPongServer
}

func (pingPong) Ping(context.Context, *doublepb.PingRequest) (*doublepb.PongResponse, error) {
	return &doublepb.PongResponse{Msg: "pong"}, nil
}

func (*server) Stream(stream h2grpc.BidiStreamingServer[doublepb.TestRequest, doublepb.TestResponse]) error {
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&doublepb.TestResponse{Output: in.Input}); err != nil {
			return err
		}
	}
}

func (*server) PrintStdio(_ context.Context, in *doublepb.PrintStdioRequest) (*emptypb.Empty, error) {
	_, err := os.Stdout.Write(in.Stdout)
	if err == nil {
		_, err = os.Stderr.Write(in.Stderr)
	}
	return &emptypb.Empty{}, err
}

func (*server) Panic(_ context.Context, in *doublepb.PanicRequest) (*emptypb.Empty, error) {
	panic(in.Message)
}
