package retry_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"time"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/retry"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// A plugin fails when it is started for the first time: its database is still locked.
func ExampleStart() {
	path, env, done, err := lockedOnce()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer done()
	config := &host.Config{
		Handshake: kvshared.Handshake,
		Cmd:       exec.Command(path),
		Env:       env,
		Logger:    slog.New(slog.DiscardHandler),
	}

	ctx := context.Background()
	client, err := retry.Start(ctx, config, retry.Policy{
		Attempts: 3,
		Total:    time.Minute, // for all attempts and the waits between them
		Notify: func(attempt int, err error, wait time.Duration) {
			fmt.Println("attempt", attempt, "failed; another follows")
		},
	})
	if err != nil {
		fmt.Println(err) // has all attempts, and the last one's error
		return
	}
	defer client.Close()
	_, err = kvpb.NewKVClient(client.Conn()).Put(ctx, &kvpb.Entry{Key: "hello"})
	fmt.Println("put:", err)
	// Output:
	// attempt 1 failed; another follows
	// put: <nil>
}

// lockedOnce returns the test program and what makes it such a plugin.
func lockedOnce() (path string, env []string, done func(), err error) {
	if path, err = os.Executable(); err != nil {
		return "", nil, nil, err
	}
	count, err := os.CreateTemp("", "count")
	if err != nil {
		return "", nil, nil, err
	}
	count.Close()
	env = []string{fakeEnv + "=recovers", countEnv + "=" + count.Name(), failsEnv + "=1", "GORACE=atexit_sleep_ms=0"}
	return path, env, func() { os.Remove(count.Name()) }, nil
}
