// Code generated from testdata/interop/interop_test.go by generate.sh. DO NOT EDIT.

// Package interop runs the rich plugin between this library and
// hashicorp/go-plugin, each way, plain and with AutoMTLS.
package interop_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/tenonrpc/tenon/plugin/interop-old/upstream"
	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/cases/leak"
	"github.com/tenonrpc/tenon/plugin/interop/cases/tenonside"
)

var table = flag.Bool("table", false, "print a line for each case that passes")

// The programs that the tests run, by import path.
const (
	upstreamPlugin  = "github.com/tenonrpc/tenon/plugin/interop-old/cmd/upstream-plugin"
	upstreamExample = "github.com/hashicorp/go-plugin/examples/grpc/plugin-go-grpc"
	tenonPlugin     = "github.com/tenonrpc/tenon/plugin/interop/cases/cmd/tenon-plugin"
)

// programs is the directory with the programs, built by TestMain.
var programs string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if code, ok := runAsProgram(); ok {
		return code
	}
	// A directory of our own, so that what is left behind shows. Its name is
	// short, since sockets go there and their paths are limited.
	dir, err := os.MkdirTemp("", "tn")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	programs = filepath.Join(dir, "bin")
	for _, pkg := range []string{upstreamPlugin, upstreamExample, tenonPlugin} {
		build := exec.Command("go", "build", "-o", program(pkg), pkg)
		if pkg != tenonPlugin {
			// The race detector is for this library: it ends go-plugin's programs
			// for a race of their own, between Serve and its yamux.
			build.Args = slices.Insert(build.Args, 2, "-race=false")
		}
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building %s: %v\n%s", pkg, err, out)
			return 1
		}
	}
	temp := filepath.Join(dir, "t")
	if err := os.Mkdir(temp, 0o700); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		os.Setenv(name, temp)
	}
	return m.Run()
}

func program(pkg string) string {
	name := filepath.Join(programs, filepath.Base(pkg))
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return name
}

// pair is a host's library and a plugin's.
type pair struct {
	host, plugin string
	start        func(mode cases.Mode, log *cases.Output) (cases.Host, error)
	// What may not be left behind. Goroutines in this process are the host
	// library's, and upstream's leaves some. Temporary files are the plugin
	// library's sockets, and upstream's leaves those of its broker unless a
	// host that removes them has said where they go.
	goroutines, temps bool
}

var pairs = []pair{
	{"go-plugin", "go-plugin", startUpstream(upstreamPlugin), false, false},
	{"go-plugin", "tenon", startUpstream(tenonPlugin), false, true},
	{"tenon", "go-plugin", startTenon(upstreamPlugin), true, upstream.HonoursSocketDir},
	{"tenon", "tenon", startTenon(tenonPlugin), true, true},
}

func startUpstream(pkg string) func(cases.Mode, *cases.Output) (cases.Host, error) {
	return func(mode cases.Mode, log *cases.Output) (cases.Host, error) {
		h, err := upstream.StartIn(mode, log, program(pkg))
		if err != nil {
			return nil, err
		}
		return h, nil
	}
}

func startTenon(pkg string) func(cases.Mode, *cases.Output) (cases.Host, error) {
	return func(mode cases.Mode, log *cases.Output) (cases.Host, error) {
		h, err := tenonside.StartIn(mode, log, program(pkg))
		if err != nil {
			return nil, err
		}
		return h, nil
	}
}

// passed prints the table's line for a case.
func passed(host, plugin string, autoMTLS bool, name string) {
	passedIn(host, plugin, cases.Mode{AutoMTLS: autoMTLS}, name)
}

func passedIn(host, plugin string, mode cases.Mode, name string) {
	if *table {
		fmt.Printf("%-40s %-11v  %-28s ok\n", host+" host → "+plugin+" plugin", mode, name)
	}
}

func TestRich(t *testing.T) {
	for _, p := range pairs {
		for _, mode := range upstream.Modes {
			t.Run(fmt.Sprintf("%s host to %s plugin/%v", p.host, p.plugin, mode), func(t *testing.T) {
				testRich(t, p, mode)
			})
		}
	}
}

// TestExample drives the plugin that comes with go-plugin.
func TestExample(t *testing.T) {
	for _, autoMTLS := range []bool{false, true} {
		t.Run(cases.Mode{AutoMTLS: autoMTLS}.String(), func(t *testing.T) {
			dir := t.TempDir()
			before := leak.Now()
			log := new(cases.Output)
			ctx, cancel := context.WithTimeout(t.Context(), cases.Timeout)
			defer cancel()
			if err := tenonside.Example(ctx, program(upstreamExample), dir, autoMTLS, log); err != nil {
				t.Fatalf("%v\nthe log:\n%s", err, log)
			}
			// The one file that the example wrote is in dir.
			if err := os.Remove(filepath.Join(dir, "kv_tenon")); err != nil {
				t.Error(err)
			}
			if err := before.Since(true, true); err != nil {
				t.Error(err)
			}
			passed("tenon", "go-plugin example", autoMTLS, "put, get, shutdown")
		})
	}
}

func testRich(t *testing.T, p pair, mode cases.Mode) {
	before := leak.Now()
	log := new(cases.Output)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the host's and the plugin's log:\n%s", log)
		}
	})
	h, err := p.start(mode, log)
	if err != nil {
		t.Fatalf("starting the plugin: %v", err)
	}
	defer h.Stop(context.Background())
	for _, c := range cases.All() {
		if c.Multiplexed && !mode.Multiplex {
			continue
		}
		// With go-plugin at both ends, brokered connections that are multiplexed
		// reach each other's servers at times, or end the plugin.
		if mode.Multiplex && c.Brokered() && p.host == "go-plugin" && p.plugin == "go-plugin" {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			if err := c.Try(t.Context(), h); err != nil {
				t.Fatal(err)
			}
			passedIn(p.host, p.plugin, mode, c.Name)
		})
	}
	if err := before.Since(p.goroutines, p.temps); err != nil {
		t.Error(err)
	}
}
