// Host takes the place of the host of go-plugin's example "bidirectional": it
// runs the plugin that COUNTER_PLUGIN names, gets a number or adds to one, and
// does the plugin's sums.
package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/interop/cases/examples/counterpb"
	"github.com/tenonrpc/tenon/plugin/interop/cases/examples/example"
)

type helper struct {
	counterpb.UnimplementedAddHelperServer
}

func (helper) Sum(_ context.Context, in *counterpb.SumRequest) (*counterpb.SumResponse, error) {
	return &counterpb.SumResponse{R: in.GetA() + in.GetB()}, nil
}

func main() {
	example.Host(&host.Config{Cmd: example.Shell("COUNTER_PLUGIN")}, use)
}

func use(ctx context.Context, client *host.Client, args []string) error {
	counter := counterpb.NewCounterClient(client.Conn())
	switch {
	case len(args) == 2 && args[0] == "get":
		out, err := counter.Get(ctx, &counterpb.GetRequest{Key: args[1]})
		if err != nil {
			return err
		}
		fmt.Println(out.GetValue())
		return nil
	case len(args) == 3 && args[0] == "put":
		n, err := strconv.ParseInt(args[2], 10, 64)
		if err != nil {
			return err
		}
		serving, stop := context.WithCancel(ctx)
		defer stop()
		id, err := client.Broker().Serve(serving, func(s *h2grpc.Server) error {
			counterpb.RegisterAddHelperServer(s, helper{})
			return nil
		})
		if err != nil {
			return err
		}
		_, err = counter.Put(ctx, &counterpb.PutRequest{AddServer: id, Key: args[1], Value: n})
		return err
	}
	return errors.New("the arguments must be: get <key>, or: put <key> <number>")
}
