// Package interop runs the rich plugin between this library and
// hashicorp/go-plugin, each way, in every mode that go-plugin has.
package interop_test

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/cases/leak"
	"github.com/tenonrpc/tenon/plugin/interop/cases/tenonside"
	"github.com/tenonrpc/tenon/plugin/interop/upstream"
)

var (
	table   = flag.Bool("table", false, "print a line for each case that passes")
	results = flag.String("results", "", "append a line of JSON for each case that passes to this file")
)

// The programs that the tests run, by import path.
const (
	upstreamPlugin = "github.com/tenonrpc/tenon/plugin/interop/cmd/upstream-plugin"
	tenonPlugin    = "github.com/tenonrpc/tenon/plugin/interop/cases/cmd/tenon-plugin"
	relayProgram   = "github.com/tenonrpc/tenon/cmd/relay"
)

// programs is the directory with the programs, made by TestMain.
var programs string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if code, ok := runControl(flag.Args()); ok {
		return code
	}
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
	if built := os.Getenv("TENON_BUILT"); built != "" {
		programs = built // where there is no go command, as under Wine
	}
	for _, pkg := range []string{upstreamPlugin, tenonPlugin} {
		if err := build(program(pkg), pkg); err != nil {
			fmt.Fprintln(os.Stderr, err)
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

// build builds a program that is not there yet. The race detector, if it is on, is for this library:
// it ends go-plugin's programs for a race of their own, between Serve and its
// yamux.
func build(name, pkg string) error {
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", name, pkg)
	cmd.Args = slices.Insert(cmd.Args, 2, upstream.BuildFlags...)
	if pkg != relayProgram && !strings.Contains(pkg, "/interop/cases/") {
		cmd.Args = slices.Insert(cmd.Args, 2, "-race=false")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// program returns where a program is, by its name or import path.
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
	// What may not be left behind. Goroutines in this process are the host
	// library's, and upstream's leaves some. Temporary files are the plugin
	// library's sockets, and upstream's leaves those of its broker unless a
	// host that removes them has said where they go.
	goroutines, temps bool
}

// pairs are the pairs with this library on one side at least.
var pairs = []pair{
	{"tenon", "go-plugin", true, upstream.HonoursSocketDir},
	{"go-plugin", "tenon", false, true},
	{"tenon", "tenon", true, true},
}

// start starts the pair's plugin. launch, if there is any, is a command that
// runs the command which follows it.
func (p pair) start(setup cases.Setup, mode cases.Mode, log *cases.Output, launch ...string) (cases.Host, error) {
	pkg := map[string]string{"go-plugin": upstreamPlugin, "tenon": tenonPlugin}[p.plugin]
	command := append(launch, program(pkg))
	if p.host == "tenon" {
		h, err := tenonside.StartSetup(setup, mode, log, command[0], command[1:]...)
		if err != nil {
			return nil, err
		}
		return h, nil
	}
	h, err := upstream.StartSetup(setup, mode, log, command[0], command[1:]...)
	if err != nil {
		return nil, err
	}
	return h, nil
}

// result is a line of the results.
type result struct {
	Library      string // the version of go-plugin
	Host, Plugin string
	Mode         string
	Case         string
	No           string `json:",omitempty"` // a sentence: why not, and whose limit that is; empty if it works
}

// passed notes that a case has passed.
func passed(host, plugin string, mode cases.Mode, name string) {
	note(result{Host: host, Plugin: plugin, Mode: mode.String(), Case: name})
}

// refused notes that something was refused, as it should be.
func refused(host, plugin string, mode cases.Mode, name, why string) {
	note(result{Host: host, Plugin: plugin, Mode: mode.String(), Case: name, No: why})
}

func note(r result) {
	if *table {
		ok := "ok"
		if r.No != "" {
			ok = "refused: " + r.No
		}
		fmt.Printf("%-40s %-11s  %-30s %s\n", r.Host+" host → "+r.Plugin+" plugin", r.Mode, r.Case, ok)
	}
	if *results == "" {
		return
	}
	r.Library = upstreamVersion()
	line, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	f, err := os.OpenFile(*results, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if _, err := f.Write(append(line, '\n')); err != nil {
		panic(err)
	}
}

// upstreamVersion is the version of go-plugin that its plugin was built with.
func upstreamVersion() string {
	info, err := buildinfo.ReadFile(program(upstreamPlugin))
	if err != nil {
		panic(err)
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/hashicorp/go-plugin" {
			return m.Version
		}
	}
	panic("the plugin does not link go-plugin")
}

// each runs f for each pair in each mode, and checks that it leaves nothing
// behind.
func each(t *testing.T, f func(t *testing.T, p pair, mode cases.Mode, log *cases.Output)) {
	for _, p := range pairs {
		for _, mode := range upstream.Modes {
			t.Run(fmt.Sprintf("%s host to %s plugin/%v", p.host, p.plugin, mode), func(t *testing.T) {
				before := leak.Now()
				log := new(cases.Output)
				t.Cleanup(func() {
					if err := before.Since(p.goroutines, p.temps); err != nil {
						t.Error(err)
					}
					if t.Failed() {
						t.Logf("the host's and the plugin's log:\n%s", log)
					}
				})
				f(t, p, mode, log)
			})
		}
	}
}

func TestRich(t *testing.T) {
	each(t, func(t *testing.T, p pair, mode cases.Mode, log *cases.Output) {
		h, err := p.start(cases.Setup{}, mode, log)
		if err != nil {
			t.Fatalf("starting the plugin: %v", err)
		}
		defer h.Stop(context.Background())
		for _, c := range cases.All() {
			if c.Multiplexed && !mode.Multiplex {
				continue
			}
			t.Run(c.Name, func(t *testing.T) {
				if err := c.Try(t.Context(), h); err != nil {
					t.Fatal(err)
				}
				passed(p.host, p.plugin, mode, c.Name)
			})
		}
	})
}
