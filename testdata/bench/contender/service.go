package contender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Pairs is how many pairs of metadata an Inspect carries.
const Pairs = 5

// Deadline is the one of an Inspect: far away.
const Deadline = 10 * time.Second

// This file is the service itself. Each library's own file connects it.

// echo returns what it was given, after the work that it is asked to do: it may
// wait, or keep a processor busy.
func echo(ctx context.Context, in *Message) (*Message, error) {
	if in.WaitUs > 0 {
		timer := time.NewTimer(time.Duration(in.WaitUs) * time.Microsecond)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if in.ComputeUs > 0 {
		end := time.Now().Add(time.Duration(in.ComputeUs) * time.Microsecond)
		for time.Now().Before(end) {
		}
	}
	return in, nil
}

// inspect is echo for calls with a deadline and metadata. get returns the value
// of a name, or "".
func inspect(ctx context.Context, in *Message, get func(name string) string) (*Message, error) {
	if _, ok := ctx.Deadline(); !ok {
		return nil, errors.New("the call has no deadline")
	}
	for i := range Pairs {
		if get(pairNames[i]) == "" {
			return nil, fmt.Errorf("there is no %s in the metadata", pairNames[i])
		}
	}
	return in, nil
}

var pairNames = [Pairs]string{"x-request-id", "x-user", "x-tenant", "x-trace", "x-region"}

// MakePairs returns names and values in turn, for Inspect.
func MakePairs() []string {
	var pairs []string
	for i, name := range pairNames {
		pairs = append(pairs, name, fmt.Sprintf("value-%d-of-the-metadata", i))
	}
	return pairs
}

// source sends in.Count messages with the data of in.
func source(in *Message, send func(*Message) error) error {
	for range in.Count {
		if err := send(&Message{Data: in.Data}); err != nil {
			return err
		}
	}
	return nil
}

// sink counts the messages. recv returns io.EOF at the end.
func sink(recv func() (*Message, error)) (*Message, error) {
	for n := uint64(0); ; n++ {
		if _, err := recv(); err == io.EOF {
			return &Message{Count: n}, nil
		} else if err != nil {
			return nil, err
		}
	}
}

// chat answers each message with itself.
func chat(recv func() (*Message, error), send func(*Message) error) error {
	for {
		in, err := recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := send(in); err != nil {
			return err
		}
	}
}
