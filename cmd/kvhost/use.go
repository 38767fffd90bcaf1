package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tenonrpc/tenon/cmd/internal/kv"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// A step makes calls and prints how they went.
type step func(context.Context, *story, kv.KVClient) error

// use makes a call of every kind.
func use(ctx context.Context, story *story, store kv.KVClient) error {
	watch, stopWatch, err := beginWatch(ctx, store)
	if err != nil {
		return err
	}
	defer stopWatch()
	for _, do := range []step{putGetDelete, putAll, getAll} {
		if err := do(ctx, story, store); err != nil {
			return err
		}
	}
	if err := endWatch(story, watch, stopWatch); err != nil {
		return err
	}
	return say(ctx, story, store)
}

func putGetDelete(ctx context.Context, story *story, store kv.KVClient) error {
	for _, value := range []string{"joint", "tenon"} {
		put, err := store.Put(ctx, &kv.PutRequest{Key: "demo/name", Value: []byte(value)})
		if err != nil {
			return err
		}
		story.tell("Put", "demo/name = %q (replaced: %v)", value, put.Replaced)
	}
	get, err := store.Get(ctx, &kv.GetRequest{Key: "demo/name"})
	if err != nil {
		return err
	}
	story.tell("Get", "demo/name = %q", get.Value)
	deleted, err := store.Delete(ctx, &kv.DeleteRequest{Key: "demo/name"})
	if err != nil {
		return err
	}
	story.tell("Delete", "demo/name (was there: %v)", deleted.Deleted)
	_, err = store.Get(ctx, &kv.GetRequest{Key: "demo/name"})
	if status.Code(err) != codes.NotFound {
		return fmt.Errorf("getting a deleted key did not fail with NotFound: %w", err)
	}
	story.tell("Get", "demo/name fails, as it should: %v", err)
	return nil
}

// putAll shows a stream of requests.
func putAll(ctx context.Context, story *story, store kv.KVClient) error {
	stream, err := store.PutAll(ctx)
	if err != nil {
		return err
	}
	for i, key := range []string{"demo/a", "demo/b", "demo/c"} {
		// On a stream that has ended this is io.EOF; the reason comes below.
		if err := stream.Send(&kv.PutRequest{Key: key, Value: []byte{'0' + byte(i)}}); err != nil && err != io.EOF {
			return err
		}
	}
	answer, err := stream.CloseAndRecv()
	if err != nil {
		return err
	}
	story.tell("PutAll", "%d values in one call", answer.Stored)
	return nil
}

// getAll shows a call with streams of requests and of responses.
func getAll(ctx context.Context, story *story, store kv.KVClient) error {
	stream, err := store.GetAll(ctx)
	if err != nil {
		return err
	}
	for _, key := range []string{"demo/a", "demo/c", "demo/none"} {
		if err := stream.Send(&kv.GetRequest{Key: key}); err != nil && err != io.EOF {
			return err
		}
		got, err := stream.Recv()
		if err != nil {
			return err
		}
		if got.Value == nil {
			story.tell("GetAll", "%s has no value", got.Key)
		} else {
			story.tell("GetAll", "%s = %q", got.Key, got.Value)
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); err != io.EOF {
		return fmt.Errorf("GetAll did not end with its requests: %w", err)
	}
	return nil
}

// beginWatch begins to watch, so that no later change is missed.
func beginWatch(ctx context.Context, store kv.KVClient) (kv.KV_WatchClient, context.CancelFunc, error) {
	ctx, cancel := context.WithCancel(ctx)
	watch, err := store.Watch(ctx, &kv.WatchRequest{Prefix: "demo/"})
	if err == nil {
		_, err = watch.Header() // arrives once the plugin watches
	}
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return watch, cancel, nil
}

// endWatch prints what the watch has received, which is a stream of responses.
func endWatch(story *story, watch kv.KV_WatchClient, stop context.CancelFunc) error {
	for key := ""; key != "demo/c"; { // the last change
		event, err := watch.Recv()
		if err != nil {
			return err
		}
		key = event.Key
		switch event.Kind {
		case kv.WatchResponse_KIND_DELETED:
			story.tell("Watch", "%s was deleted", key)
		case kv.WatchResponse_KIND_PUT:
			story.tell("Watch", "%s became %q", key, event.Value)
		default:
			return fmt.Errorf("an unexpected event: %v", event)
		}
	}
	stop()
	if _, err := watch.Recv(); status.Code(err) != codes.Canceled {
		return fmt.Errorf("the watch did not end when it was cancelled: %w", err)
	}
	story.tell("Watch", "cancelled")
	return nil
}

// say makes the plugin log and print, and waits for both, which do not arrive with the
// answer.
func say(ctx context.Context, story *story, store kv.KVClient) error {
	logged, printed := story.await("log", spoken), story.await("stdout", spoken)
	if _, err := store.Say(ctx, &kv.SayRequest{Level: kv.SayRequest_LEVEL_WARN, Text: spoken}); err != nil {
		return err
	}
	for _, seen := range []<-chan struct{}{logged, printed} {
		select {
		case <-seen:
		case <-ctx.Done():
			return errors.Join(errors.New("the plugin's log message did not arrive"), ctx.Err())
		}
	}
	return nil
}
