// Code generated from testdata/interop/examples_test.go by generate.sh. DO NOT EDIT.

package interop_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin/interop-old/upstream"
	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/cases/examples/example"
	"github.com/tenonrpc/tenon/plugin/interop/cases/leak"
)

// exampleRun is how an example is tried.
type exampleRun struct {
	// Where go-plugin has its host and its plugin, below its module.
	host, plugin string
	// The file that the host runs; empty if variable names it.
	file, variable string
	steps          []exampleStep
}

// exampleStep is a run of the host. It must print this on stdout, and this
// somewhere on stderr, with each library's plugin.
type exampleStep struct {
	args           []string
	stdout, stderr map[string]string
}

// both is for what does not depend on the plugin's library.
func both(text string) map[string]string {
	return map[string]string{"go-plugin": text, "tenon": text}
}

var exampleRuns = map[string]exampleRun{
	"grpc": {
		host: "examples/grpc", plugin: "examples/grpc/plugin-go-grpc", variable: "KV_PLUGIN",
		steps: []exampleStep{
			{args: []string{"put", "hello", "world"}},
			{args: []string{"get", "hello"}, stdout: map[string]string{
				"go-plugin": "world\n\nWritten from plugin-go-grpc\n",
				"tenon":     "world\n\nWritten by tenon's plugin\n",
			}},
		},
	},
	"bidirectional": {
		host: "examples/bidirectional", plugin: "examples/bidirectional/plugin-go-grpc", variable: "COUNTER_PLUGIN",
		steps: []exampleStep{
			{args: []string{"put", "hello", "1"}},
			{args: []string{"put", "hello", "40"}},
			{args: []string{"put", "hello", "1"}},
			{args: []string{"get", "hello"}, stdout: both("42\n")},
		},
	},
	"negotiated": {
		host: "examples/negotiated", plugin: "examples/negotiated/plugin-go", file: "kv-plugin",
		steps: []exampleStep{
			{args: []string{"put", "hello", "world"}},
			{args: []string{"get", "hello"}, stdout: map[string]string{
				"go-plugin": "world\n\nWritten from plugin version 3\nRead by plugin version 3\n\n",
				"tenon":     "world\n\nWritten by version 3 of tenon's plugin\nRead by version 3 of tenon's plugin\n\n",
			}},
		},
	},
	"streaming": {
		host: "examples/streaming", plugin: "examples/streaming/plugin", file: filepath.Join("plugin", "streamer"),
		steps: []exampleStep{
			{args: []string{"text"}, stderr: map[string]string{
				"go-plugin": "FileStreamer: Write finished",
				"tenon":     "tenon's plugin has written the file",
			}},
			{args: []string{"text"}, stderr: both("received 26 bytes")},
		},
	},
}

// TestExamples runs the examples that come with go-plugin, with its own host or
// its own plugin, or neither.
func TestExamples(t *testing.T) {
	for _, name := range upstream.Examples {
		e := exampleRuns[name]
		ours := "github.com/tenonrpc/tenon/plugin/interop/cases/examples/" + name
		for _, side := range []string{"host", "plugin"} {
			theirs := "github.com/hashicorp/go-plugin/" + map[string]string{"host": e.host, "plugin": e.plugin}[side]
			if err := build(program(exampleProgram(name, side, "go-plugin")), theirs); err != nil {
				t.Fatal(err)
			}
			if err := build(program(exampleProgram(name, side, "tenon")), ours+"/"+side); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range pairs {
			modes := upstream.Modes
			if p.host == "go-plugin" {
				modes = []cases.Mode{{}} // the only one that its hosts have
			}
			for _, mode := range modes {
				t.Run(fmt.Sprintf("%s/%s host to %s plugin/%v", name, p.host, p.plugin, mode), func(t *testing.T) {
					before := leak.Now()
					e.run(t, name, p, mode)
					if err := before.Since(true, p.temps); err != nil {
						t.Error(err)
					}
					if !t.Failed() {
						passed(p.host, p.plugin, mode, "example "+name)
					}
				})
			}
		}
	}
}

func exampleProgram(name, side, library string) string { return name + "-" + side + "-" + library }

func (e exampleRun) run(t *testing.T, name string, p pair, mode cases.Mode) {
	dir, err := os.MkdirTemp("", "x")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	plugin := program(exampleProgram(name, "plugin", p.plugin))
	env := append(os.Environ(), "KV_PROTO=grpc", example.ModeEnv+"="+mode.String())
	if e.variable != "" {
		env = append(env, e.variable+"="+plugin)
	} else {
		file := filepath.Join(dir, e.file)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(plugin, file); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range e.steps {
		ctx, cancel := context.WithTimeout(t.Context(), cases.Timeout)
		defer cancel()
		cmd := exec.CommandContext(ctx, program(exampleProgram(name, "host", p.host)), step.args...)
		cmd.Dir, cmd.Env = dir, slices.Clip(env)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %v\n%s%s", step.args, err, &stdout, &stderr)
		}
		if got, want := stdout.String(), step.stdout[p.plugin]; got != want {
			t.Errorf("%v prints %q, want %q", step.args, got, want)
		}
		if want := step.stderr[p.plugin]; !strings.Contains(stderr.String(), want) {
			t.Errorf("%v lacks %q on stderr:\n%s", step.args, want, &stderr)
		}
	}
}
