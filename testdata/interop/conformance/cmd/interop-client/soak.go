package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

const (
	soakCalls = 100         // how often the soak cases call
	soakMost  = time.Second // how long each call may take
	crowd     = 15          // how many calls max_streams makes at once
)

// rpcSoak makes many large calls on one connection.
func rpcSoak(ctx context.Context, c *client) error {
	return soak(func() error { return largeUnary(ctx, c) })
}

// channelSoak makes each of many large calls on a connection of its own.
func channelSoak(ctx context.Context, c *client) error {
	return soak(func() error {
		c := c.server.connect()
		defer c.close()
		return largeUnary(ctx, c)
	})
}

func soak(call func() error) error {
	for i := range soakCalls {
		start := time.Now()
		if err := call(); err != nil {
			return fmt.Errorf("call %d: %w", i, err)
		}
		if took := time.Since(start); took > soakMost {
			return fmt.Errorf("call %d took %v, more than %v", i, took, soakMost)
		}
	}
	return nil
}

// goAway makes two calls. The server says GOAWAY after the first and sees to it
// that the second comes on another connection.
func goAway(ctx context.Context, c *client) error {
	for i := range 2 {
		if err := largeUnary(ctx, c); err != nil {
			return fmt.Errorf("call %d: %w", i, err)
		}
	}
	return nil
}

// reset makes a call whose stream the server resets with NO_ERROR before there
// are trailers. That is INTERNAL: gRPC's PROTOCOL-HTTP2 document, "Errors".
func reset(ctx context.Context, c *client) error {
	return wantCode(largeUnary(ctx, c), codes.Internal)
}

// maxStreams makes more calls at once than the server takes, after one that
// lets it say how many that is.
func maxStreams(ctx context.Context, c *client) error {
	if err := largeUnary(ctx, c); err != nil {
		return err
	}
	errs := make(chan error, crowd)
	var calls sync.WaitGroup
	for range crowd {
		calls.Go(func() { errs <- largeUnary(ctx, c) })
	}
	calls.Wait()
	for range crowd {
		if err := <-errs; err != nil {
			return fmt.Errorf("one of %d calls at once: %v: %w", crowd, status.Code(err), err)
		}
	}
	return nil
}
