// Conformance-client is the client that connectconformance tests: h2grpc's. It
// reads the calls that it is to make on standard input and writes what came of
// each on standard output.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	pb "github.com/tenonrpc/tenon/plugin/interop/conformance/conformancepb"
	"github.com/tenonrpc/tenon/plugin/interop/conformance/internal/pipe"
)

// atOnce is how many calls are made at the same time.
const atOnce = 8

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "conformance-client:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, in io.Reader, out io.Writer) error {
	var conns conns
	defer conns.close()
	var (
		calls sync.WaitGroup
		mu    sync.Mutex // guards out and first
		first error
		slots = make(chan struct{}, atOnce)
	)
	for {
		req := new(pb.ClientCompatRequest)
		if err := pipe.Read(in, req); err == io.EOF {
			break
		} else if err != nil {
			return fmt.Errorf("reading a request: %w", err)
		}
		slots <- struct{}{}
		calls.Go(func() {
			defer func() { <-slots }()
			res := &pb.ClientCompatResponse{TestName: req.TestName}
			result, err := conns.call(ctx, req)
			if err != nil {
				res.Result = &pb.ClientCompatResponse_Error{Error: &pb.ClientErrorResult{Message: err.Error()}}
			} else {
				res.Result = &pb.ClientCompatResponse_Response{Response: result}
			}
			mu.Lock()
			defer mu.Unlock()
			first = errors.Join(first, pipe.Write(out, res))
		})
	}
	calls.Wait()
	return first
}
