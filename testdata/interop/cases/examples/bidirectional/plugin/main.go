// Plugin takes the place of the plugin of go-plugin's example "bidirectional".
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/interop/cases/examples/counterpb"
	"github.com/tenonrpc/tenon/plugin/interop/cases/examples/example"
)

// counter keeps numbers in files of the directory that it is started in.
type counter struct {
	counterpb.UnimplementedCounterServer
	broker *plugin.Broker
}

// number is what a file holds.
type number struct{ Value int64 }

func load(key string) (n number, err error) {
	b, err := os.ReadFile(example.File(key))
	if err != nil {
		return n, err
	}
	return n, json.Unmarshal(b, &n)
}

func (c *counter) Get(_ context.Context, in *counterpb.GetRequest) (*counterpb.GetResponse, error) {
	n, err := load(in.GetKey())
	return &counterpb.GetResponse{Value: n.Value}, err
}

func (c *counter) Put(ctx context.Context, in *counterpb.PutRequest) (*counterpb.Empty, error) {
	n, err := load(in.GetKey())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	conn, err := c.broker.Dial(ctx, in.GetAddServer())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	sum, err := counterpb.NewAddHelperClient(conn).Sum(ctx, &counterpb.SumRequest{A: n.Value, B: in.GetValue()})
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(number{sum.GetR()})
	if err != nil {
		return nil, err
	}
	return &counterpb.Empty{}, os.WriteFile(example.File(in.GetKey()), b, 0o600)
}

func main() {
	set := plugin.Set{"counter": plugin.ServeOnly(func(broker *plugin.Broker, s *h2grpc.Server) error {
		counterpb.RegisterCounterServer(s, &counter{broker: broker})
		return nil
	})}
	example.Serve(map[int]plugin.Set{example.Handshake.ProtocolVersion: set})
}
