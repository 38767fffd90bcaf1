package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/tenonrpc/tenon/cmd/internal/kv"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin/host"
)

// cpp is gRPC's own library for C++, as Debian has it.
func cpp(b *bench) *language {
	const (
		name = "cpp"
		mux  = "gRPC for C++ listens and dials by itself: it cannot be handed the streams of a multiplexed connection."
	)
	launch := func(arguments ...string) *exec.Cmd { return exec.Command(b.path(name, "plugin"), arguments...) }
	plugins := pluginCases(launch)
	plugins["multiplexed"] = lacks(mux, host.ErrMuxUnsupported.Error(), plugins["multiplexed"].try)
	return &language{
		name:    name,
		version: "gRPC 1.51",
		cases:   map[string]map[string]*trial{"plugin": plugins},
		further: beyond(launch),
	}
}

// useDeadlines lets calls outlast their deadlines. It must cost the plugin's
// other calls nothing: gRPC's C core ends a call twice then, which HTTP/2 does
// not allow.
func useDeadlines(ctx context.Context, s *session) error {
	const (
		calls    = 10
		deadline = 20 * time.Millisecond
	)
	kept, err := s.store.Watch(ctx, &kv.WatchRequest{Prefix: "kept/"})
	if err != nil {
		return err
	}
	if _, err := kept.Header(); err != nil {
		return err
	}
	for range calls {
		short, stop := context.WithTimeout(ctx, deadline)
		watch, err := s.store.Watch(short, &kv.WatchRequest{Prefix: "none/"})
		if err == nil {
			_, err = watch.Recv()
		}
		stop()
		if status.Code(err) != codes.DeadlineExceeded {
			return fmt.Errorf("a watch that outlasts its deadline: %w", err)
		}
	}
	if _, err := s.store.Put(ctx, &kv.PutRequest{Key: "kept/it"}); err != nil {
		return err
	}
	event, err := kept.Recv()
	if err != nil || event.Key != "kept/it" {
		return fmt.Errorf("the watch that has no deadline has %v: %w", event, err)
	}
	return nil
}

// useOutput makes the plugin print much at once, and several times.
func useOutput(ctx context.Context, s *session) error {
	const times = 3
	text := strings.Repeat("much output ", 1<<18)
	for i := range times {
		if _, err := s.store.Say(ctx, &kv.SayRequest{Text: fmt.Sprintf("%s%d", text, i)}); err != nil {
			return err
		}
	}
	if err := s.out.wait(ctx, fmt.Sprintf("%s%d\n", text, times-1)); err != nil {
		return errors.New("the last line is not what was said")
	}
	if got, want := len(s.out.String()), times*(len(text)+2); got != want {
		return fmt.Errorf("%d bytes were printed, of %d", got, want)
	}
	return nil
}
