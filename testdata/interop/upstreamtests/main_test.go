//go:build unix

// Package upstreamtests has go-plugin's own tests judge this library. The test
// binary of go-plugin starts its plugins by its own name, os.Args[0]; called by
// the name of a program made with this library, it tests that one. And since
// the binary is every one of those plugins, hosts of this library can start it.
package upstreamtests

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	// The module whose tests are built and run. It is imported for go.mod and
	// go.sum to hold what its tests need.
	_ "github.com/hashicorp/go-plugin"

	"github.com/tenonrpc/tenon/plugin/interop/cases/leak"
	"github.com/tenonrpc/tenon/plugin/interop/upstreamtests/modes"
)

const (
	upstream = "github.com/hashicorp/go-plugin"
	helper   = "github.com/tenonrpc/tenon/plugin/interop/upstreamtests/cmd/helper"
	// programName is that of both programs: go-plugin's tests look for it in
	// the log.
	programName = "go-plugin.test"
)

var (
	table   = flag.Bool("table", false, "print a line for each test and each mode")
	control = flag.Bool("control", false, "have go-plugin's tests start go-plugin's own plugins, to see which tests can be relied on")
)

// Set by TestMain.
var (
	source      *upstreamSource
	theirs      string // go-plugin's test binary
	ours        string // the stand-in, in a directory of its own
	oursDir     string
	programsDir string
)

// runTimeout bounds one start of go-plugin's test binary; most take less than a
// second.
const runTimeout = 2 * time.Minute

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	// Its name is short, since sockets go there and their paths are limited.
	dir, err := os.MkdirTemp("", "tn")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := prepare(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func prepare(dir string) (err error) {
	// Programs are found by the paths that the system has for them.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	if source, err = readSource(); err != nil {
		return err
	}
	programsDir = filepath.Join(dir, "bin")
	theirs = filepath.Join(programsDir, "theirs", programName)
	oursDir = filepath.Join(programsDir, "ours")
	ours = filepath.Join(oursDir, programName)
	temp := filepath.Join(dir, "t")
	for _, d := range []string{filepath.Dir(theirs), oursDir, temp} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	// The race detector is for this library: go-plugin's tests have races of
	// their own.
	for _, build := range [][]string{
		{"test", "-c", "-race=false", "-o", theirs, upstream},
		{"build", "-o", ours, helper},
	} {
		if out, err := exec.Command("go", build...).CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w\n%s", strings.Join(build, " "), err, out)
		}
	}
	for file, name := range map[string]string{
		modes.CAFile:          "TestClusterCACert",
		modes.CertificateFile: "TestClusterServerCert",
		modes.KeyFile:         "TestClusterServerKey",
	} {
		text, ok := source.constants[name]
		if !ok {
			return fmt.Errorf("go-plugin's tests have no constant %s", name)
		}
		if err := os.WriteFile(filepath.Join(oursDir, file), []byte(text), 0o600); err != nil {
			return err
		}
	}
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		os.Setenv(name, temp)
	}
	return nil
}

// theirTests returns what go-plugin's test binary has.
func theirTests(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), theirs, "-test.list", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

// settled fails the test unless everything is as before, in this process and
// with all programs. killed says that a plugin was killed, or crashed: nobody
// then removes its socket, unless its host has said where it is to be.
func settled(t *testing.T, before leak.State, killed bool) {
	t.Helper()
	// Long enough for a plugin to notice that its host is gone.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for left := running(); len(left) > 0; left = running() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("left running: %s", strings.Join(left, ", "))
		}
	}
	if killed {
		removeSockets(t)
	}
	if err := before.Since(true, true); err != nil {
		t.Error(err)
	}
}

func removeSockets(t *testing.T) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(os.TempDir(), "plugin*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		info, err := os.Lstat(name)
		if err == nil && info.Mode().Type() == os.ModeSocket {
			err = os.Remove(name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// running returns the processes that run a program of ours, where /proc says
// so.
func running() []string {
	names, _ := filepath.Glob("/proc/[0-9]*/exe")
	return slices.DeleteFunc(names, func(name string) bool {
		exe, err := os.Readlink(name)
		return err != nil || !strings.HasPrefix(exe, programsDir)
	})
}
