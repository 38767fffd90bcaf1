// Helper stands in for the plugins that go-plugin's tests start, as its test
// binary does itself: it is called with -test.run=TestHelperProcess, "--", a
// mode, and its arguments.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/tenonrpc/tenon/plugin/interop/upstreamtests/modes"
	"github.com/tenonrpc/tenon/wire"
)

// testLimit is how long a mode goes on that waits to be ended. Tests take a few
// seconds.
const testLimit = time.Minute

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if os.Getenv("GO_WANT_HELPER_PROCESS") != "1" {
		return errors.New("this program is started by go-plugin's tests")
	}
	at := slices.Index(os.Args, "--")
	if at < 0 || at+1 >= len(os.Args) {
		return errors.New("the arguments name no mode")
	}
	args := os.Args[at+2:]
	mode, ok := modes.Find(os.Args[at+1])
	if !ok {
		return fmt.Errorf("there is no mode %q", os.Args[at+1])
	}
	switch mode.Kind {
	case modes.Served:
		return serve(mode)
	case modes.Line:
		if err := modes.Record(mode); err != nil {
			return err
		}
		return line(mode, args)
	}
	return fmt.Errorf("mode %s serves net/rpc, which this library does not", mode.Name)
}

// nobody is the handshake of a plugin whose address nobody serves, from before
// a handshake named its protocol.
const nobody = "1|1|tcp|:1234\n"

// line does what the tests look for in a mode that is no plugin.
func line(mode modes.Mode, args []string) error {
	print := func(texts ...string) error { return write(os.Stdout, texts...) }
	switch mode.Name {
	case "bad-version":
		if len(args) > 0 {
			if err := os.WriteFile(args[0], []byte("started\n"), 0o600); err != nil {
				return err
			}
		}
		return errors.Join(print("1|11|tcp|:1234\n"), wait())
	case "invalid-rpc-address":
		return print("this is no handshake\n")
	case "mock":
		return errors.Join(print(nobody), wait())
	case "start-timeout":
		return errors.Join(wait(), errors.New("nobody gave up"))
	case "stderr":
		return errors.Join(print(nobody), write(os.Stderr, "HELLO\n", "WORLD\n"))
	case "stderr-json":
		return errors.Join(print(nobody), write(os.Stderr, "[\"HELLO\"]\n", "12345\n", "{\"a\":1}\n"))
	case "level-warn-text":
		return errors.Join(print(nobody), write(os.Stderr, "[WARN] test line 98765\n"))
	case "stdin":
		if err := print(nobody); err != nil {
			return err
		}
		var got [len("hello")]byte
		if _, err := io.ReadFull(os.Stdin, got[:]); err != nil {
			return err
		}
		if string(got[:]) != "hello" {
			return fmt.Errorf("stdin begins with %q", got)
		}
		return nil
	case "test-skip-host-env-true", "test-skip-host-env-false":
		value, want := os.Getenv("PLUGIN_TEST_SKIP_HOST_ENV"), mode.Name == "test-skip-host-env-false"
		if (value != "") != want {
			return errors.Join(print(nobody), fmt.Errorf("the host's variable is %q", value))
		}
		return print(nobody)
	case "mux-grpc-with-old-plugin":
		return unmultiplexed("1|1|tcp|:1234|grpc|\n")
	case "mux-grpc-with-unsupported-plugin":
		return unmultiplexed("1|1|tcp|:1234|grpc||false\n")
	}
	return fmt.Errorf("nothing is known of mode %s", mode.Name)
}

// unmultiplexed prints a plugin's answer to a host that asks for multiplexing.
func unmultiplexed(handshake string) error {
	if os.Getenv(wire.EnvMultiplex) == "" {
		return errors.New("the host does not ask for multiplexing")
	}
	return errors.Join(write(os.Stdout, handshake), wait())
}

func write(w io.Writer, texts ...string) error {
	for _, text := range texts {
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}

// wait returns when somebody ends the process gently, or nobody does.
func wait() error {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	timer := time.NewTimer(testLimit)
	defer timer.Stop()
	select {
	case <-ended:
		return nil
	case <-timer.C:
		return errors.New("nobody ended the process")
	}
}
