package host_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/wire"
)

// TestServingForTests serves plugins within this process.
func TestServingForTests(t *testing.T) {
	noLeaks(t)
	ctx, stop := context.WithCancel(t.Context())
	records := make(chan host.Reattach)
	ended := make(chan error)
	for range 2 {
		go func() {
			ended <- plugin.ServeContext(ctx, &plugin.ServeConfig{
				Handshake: shake,
				Plugins:   plugin.Set{"echo": echo{"1 "}},
				Test:      &plugin.TestMode{Ready: func(r host.Reattach) { records <- r }},
				Logger:    testLogger(t),
			})
		}()
	}
	stdout := os.Stdout
	for range 2 {
		r := <-records
		if !r.Test || r.PID != os.Getpid() || runtime.GOOS == "linux" && r.StartTime == 0 {
			t.Errorf("the record is %+v", r)
		}
		if _, err := host.Start(t.Context(), attaching(t, &r)); err == nil || !strings.Contains(err.Error(), "test mode") || !strings.Contains(err.Error(), "set InsecurePlaintext") {
			t.Errorf("attaching with AutoMTLS: %v", err)
		}
		for range 2 {
			cfg := attaching(t, &r)
			cfg.InsecurePlaintext = true
			c := start(t, cfg)
			usesBroker(t, c)
			closes(t, c)
		}
	}
	if os.Stdout != stdout {
		t.Error("os.Stdout was replaced")
	}
	stop()
	for range 2 {
		if err := <-ended; err != nil {
			t.Errorf("ServeContext: %v", err)
		}
	}
}

// TestVersionForTests serves a plugin of several versions that no host asks for one of
// them, and plugins whose environment says which. The record says which version is
// served, and the error of a host without it names the variable.
func TestVersionForTests(t *testing.T) {
	noLeaks(t)
	for asked, want := range map[string]int{"": 4, "2": 2, "3,2,9": 3, "9": 2} {
		ctx, stop := context.WithCancel(t.Context())
		records, ended := make(chan host.Reattach, 1), make(chan error, 1)
		cfg := reals["real-versions"]()
		cfg.Test = &plugin.TestMode{Ready: func(r host.Reattach) { records <- r }}
		cfg.Process = new(plugin.Process)
		if asked != "" {
			cfg.Process.Env = []string{wire.EnvProtocolVersions + "=" + asked}
		}
		go func() { ended <- plugin.ServeContext(ctx, cfg) }()
		r := <-records
		if r.ProtocolVersion != want {
			t.Errorf("asked for %q, the record says version %d, want %d", asked, r.ProtocolVersion, want)
		}
		attach := attaching(t, &r)
		attach.InsecurePlaintext = true
		attach.Plugins, attach.Versions = nil, map[int]plugin.Set{r.ProtocolVersion: {"echo": echo{}}}
		c := start(t, attach)
		client, err := host.Dispense[*echoClient](t.Context(), c, "echo")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := client.call(t.Context(), echoMethod, "hello"); err != nil || got != fmt.Sprint(want, " hello") {
			t.Errorf("asked for %q: got %q, %v, want that of version %d", asked, got, err, want)
		}
		closes(t, c)
		attach.Versions = map[int]plugin.Set{1: {"echo": echo{}}}
		if _, err := host.Start(t.Context(), attach); err == nil || !strings.Contains(err.Error(), wire.EnvProtocolVersions) {
			t.Errorf("a host without the version: %v", err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Errorf("ServeContext: %v", err)
		}
	}
}

// TestWhatAPersonCopies starts a plugin as a person does under a debugger, and attaches
// to it by what it prints.
func TestWhatAPersonCopies(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no SIGINT to send")
	}
	noLeaks(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, outW := pipe(t)
	var stderr bytes.Buffer
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fakeEnv+"=real-debugged")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = alive, outW, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	outW.Close()
	lines := bufio.NewReader(out)
	var value []byte
	for value == nil {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatalf("%v; stderr %q", err, stderr.String())
		}
		if m := regexp.MustCompile(`TF_REATTACH_PROVIDERS='(.*)'`).FindSubmatch(line); m != nil {
			value = m[1]
		}
	}
	records, err := host.ParseProviders(string(value))
	if err != nil {
		t.Fatal(err)
	}
	cfg := attaching(t, records["acme/echo"])
	cfg.InsecurePlaintext = true
	c := start(t, cfg)
	client, err := host.Dispense[*echoClient](t.Context(), c, "echo")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := client.call(t.Context(), echoMethod, "hello"); err != nil || got != "1 hello" {
		t.Errorf("got %q, %v", got, err)
	}
	closes(t, c)
	cmd.Process.Signal(os.Interrupt)
	rest, _ := io.ReadAll(lines)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the plugin ended with %v", err)
	}
	if want := "\nstdout: hello\n"; string(rest) != want || stderr.String() != "stderr: hello\n" {
		t.Errorf("the plugin printed %q and %q", rest, stderr.String())
	}
	if exists(records["acme/echo"].Address) {
		t.Error("its socket is left")
	}
}
