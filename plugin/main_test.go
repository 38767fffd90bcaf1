package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
)

// modeVariable makes the test binary a plugin.
const modeVariable = "TN_TEST_MODE"

func TestMain(m *testing.M) {
	if mode := os.Getenv(modeVariable); mode != "" {
		if main, ok := exampleMains[mode]; ok {
			main()
			return
		}
		beplugin(mode)
		return
	}
	// Plugins that no host has started make their sockets there, and the path of a socket
	// is limited to about 100 bytes.
	if len(os.TempDir()) > 64 && runtime.GOOS != "windows" {
		os.Setenv("TMPDIR", "/tmp")
	}
	// The runtime keeps a goroutine for signals once a signal has been requested.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	signal.Stop(signals)
	before := runtime.NumGoroutine()
	status := m.Run()
	// The goroutines of the last connections may need a moment.
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for runtime.NumGoroutine() > before && status == 0 {
		select {
		case <-tick.C:
		case <-deadline:
			buf := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines are left:\n%s\n", buf[:runtime.Stack(buf, true)])
			status = 1
		}
	}
	os.Exit(status)
}

// beplugin is the main function of a plugin.
func beplugin(mode string) {
	realStderr := os.Stderr
	cfg := &plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"obey": obedient(realStderr)}}
	switch mode {
	case "plugin":
		plugin.Serve(cfg)
	case "outlive":
		cfg.OutliveHost = true
		plugin.Serve(cfg)
	case "stuck": // in its registration, which continues when stdin ends
		cfg.Plugins["kv"] = plugin.ServeOnly(func(*plugin.Broker, *h2grpc.Server) error {
			fmt.Fprintln(realStderr, "registering")
			_, err := io.Copy(io.Discard, os.Stdin)
			return err
		})
		plugin.Serve(cfg)
	case "slow-main": // main continues after its plugin has ended
		plugin.Serve(cfg)
		fmt.Fprintln(realStderr, "served")
		io.Copy(io.Discard, os.Stdin)
		os.Exit(8)
	case "cleanup":
		plugin.Serve(cfg)
		os.Exit(7)
	case "twice":
		plugin.Serve(cfg)
		plugin.Serve(cfg)
	case "failing":
		cfg.Plugins["kv"] = plugin.ServeOnly(func(*plugin.Broker, *h2grpc.Server) error {
			fmt.Println("reading the settings")
			fmt.Fprintln(os.Stderr, "line 3: no such key")
			return errors.New("bad settings")
		})
		plugin.Serve(cfg)
	case "wait":
		io.Copy(io.Discard, os.Stdin)
	}
}

// obedient is a plugin that executes commands: a word, and an argument.
func obedient(realStderr io.Writer) plugin.Plugin {
	return serveEcho(func(ctx context.Context, in []byte) ([]byte, error) {
		word, argument, _ := strings.Cut(string(in), " ")
		switch word {
		case "print":
			_, err := io.WriteString(os.Stdout, argument)
			return nil, err
		case "eprint":
			_, err := io.WriteString(os.Stderr, argument)
			return nil, err
		case "flood": // that many bytes
			n, err := strconv.Atoi(argument)
			if err != nil {
				return nil, err
			}
			_, err = io.WriteString(os.Stdout, strings.Repeat("x", n))
			return nil, err
		case "write-real-stderr":
			_, err := io.WriteString(realStderr, argument)
			return fmt.Append(nil, err), nil
		case "hang":
			fmt.Fprintln(realStderr, "hanging")
			<-ctx.Done()
			return nil, ctx.Err()
		case "environ":
			return []byte(strings.Join(os.Environ(), "\n")), nil
		case "spawn": // a child that inherits the output, and its pid
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), modeVariable+"=wait")
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			if _, err := cmd.StdinPipe(); err != nil { // closed when the plugin ends
				return nil, err
			}
			if err := cmd.Start(); err != nil {
				return nil, err
			}
			return fmt.Append(nil, cmd.Process.Pid), nil
		}
		if command, ok := commands[word]; ok {
			answer, err := command(argument)
			return []byte(answer), err
		}
		return nil, fmt.Errorf("what is %q?", word)
	})
}
