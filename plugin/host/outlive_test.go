package host_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

// recordEnv names the file in which a detaching host leaves its record.
const recordEnv = "TN_RECORD"

// The descriptors of a detaching host and of its plugin, besides heldFD.
const (
	hostCueFD    = 5 // the plugin begins to print when this one ends
	hostDoneFD   = 6 // and closes this one when it is done
	pluginCueFD  = 4
	pluginDoneFD = 5
)

// detachers are the ways in which a host leaves its plugin.
var detachers = map[string]func(c *host.Client, there func()){
	"killed": func(_ *host.Client, there func()) { there(); linger() },
	"exits":  func(_ *host.Client, there func()) { there(); os.Exit(0) },
	"lets go": func(c *host.Client, there func()) {
		must(c.Detach())
		there()
		os.Exit(0)
	},
}

// playDetacher is what the test binary does as a host that leaves its plugin.
func playDetacher(leave func(c *host.Client, there func())) {
	self, err := os.Executable()
	must(err)
	cmd := exec.Command(self)
	for _, fd := range []uintptr{heldFD, hostCueFD, hostDoneFD} {
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(fd, "inherited"))
	}
	c, err := host.Start(context.Background(), &host.Config{
		Handshake: shake,
		Cmd:       cmd,
		Curve:     host.P256,
		Detach:    true,
		Env:       []string{fakeEnv + "=real-chatty", "GORACE=atexit_sleep_ms=0"},
	})
	must(err)
	r, err := c.ReattachWithKey()
	must(err)
	must(host.WriteReattach(os.Getenv(recordEnv), r))
	leave(c, func() {
		for _, f := range cmd.ExtraFiles {
			f.Close()
		}
		fmt.Fprintln(os.NewFile(reportFD, "report"), "there")
	})
}

// What the chatty plugin prints on each of its streams, 1 MB in all, and on its
// real stderr.
const (
	chattyLine  = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n"
	chattyLines = 500 << 10 / len(chattyLine)
)

// chattyPlugin prints a lot when its host is gone.
func chattyPlugin() *plugin.ServeConfig {
	realStderr := os.Stderr
	return &plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"echo": chatty{echo{"1 "}, realStderr}}}
}

type chatty struct {
	echo
	realStderr *os.File
}

func (p chatty) print() {
	io.Copy(io.Discard, os.NewFile(pluginCueFD, "cue"))
	for range chattyLines {
		// Writing without a reader must fail, and must not end the plugin.
		if _, err := io.WriteString(p.realStderr, chattyLine); err == nil {
			panic("somebody reads the plugin's stderr")
		}
	}
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		for range chattyLines {
			io.WriteString(f, chattyLine)
		}
	}
	os.NewFile(pluginDoneFD, "done").Close()
}

func TestDetachedPluginsOutliveTheirHost(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no descriptors can be handed down")
	}
	for name := range detachers {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			outlive(t, name)
		})
	}
}

func outlive(t *testing.T, name string) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(t.TempDir(), "record")
	heldR, heldW := pipe(t)
	reportR, reportW := pipe(t)
	cueR, cueW := pipe(t)
	doneR, doneW := pipe(t)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), hostEnv+"="+name, recordEnv+"="+record)
	cmd.Stdin = alive
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{heldW, reportW, cueR, doneW}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
	if line, err := bufio.NewReader(reportR).ReadString('\n'); line != "there\n" {
		t.Errorf("the host reports %q, %v", line, err)
	}
	if name == "killed" {
		cmd.Process.Kill()
	}
	cmd.Wait()
	r, err := host.ReadReattach(record)
	if err != nil {
		t.Fatal(err)
	}
	endsWithTest(t, r.PID)

	// The next host's sweep leaves the directory of the plugin alone.
	host.Sweep(os.TempDir())
	cueW.Close()
	doneR.SetReadDeadline(time.Now().Add(ample))
	if _, err := doneR.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("the plugin did not print all it had to: %v", err)
	}
	var printed [2]strings.Builder
	cfg := attaching(t, r)
	cfg.Output.Stdout, cfg.Output.Stderr = &printed[0], &printed[1]
	c := start(t, cfg)
	if _, err := do(t.Context(), c, ""); err == nil {
		t.Error("the plugin has a method that it does not have")
	}
	client, err := host.Dispense[*echoClient](t.Context(), c, "echo")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := client.call(t.Context(), echoMethod, "hello"); err != nil || got != "1 hello" {
		t.Errorf("got %q, %v", got, err)
	}
	usesBroker(t, c)
	closes(t, c)
	for i, last := range []string{"stdout: hello\n", "stderr: hello\n"} {
		if want := strings.Repeat(chattyLine, chattyLines) + last; printed[i].String() != want {
			t.Errorf("of what the plugin printed on stream %d, %d bytes of %d arrived", i+1, printed[i].Len(), len(want))
		}
	}
	heldR.SetReadDeadline(time.Now().Add(ample))
	if _, err := heldR.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the plugin lives on: %v", err)
	}
}
