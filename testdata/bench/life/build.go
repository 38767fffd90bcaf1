package life

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A program is built for the measurement.
type program struct {
	name    string
	root    bool   // it belongs to tenon's own module, not to that of the benchmarks
	pkg     string // relative to its module
	library string // whose plugin or host it is; "" if that is not compared
	role    string
}

// The libraries that are compared.
const (
	Tenon    = "tenon"
	GoPlugin = "go-plugin"
)

// The roles of programs.
const (
	Plugin = "plugin"
	Host   = "host"
)

var programs = []program{
	{"kv-tenon", true, "./cmd/kvplugin", Tenon, Plugin},
	{"kv-goplugin", false, "./cmd/kv-goplugin", GoPlugin, Plugin},
	{"host-tenon", false, "./cmd/host-tenon", Tenon, Host},
	{"host-goplugin", false, "./cmd/host-goplugin", GoPlugin, Host},
	{"stubborn", false, "./cmd/stubborn", "", ""},
	{"stubborn-silent", false, "./cmd/stubborn", "", ""},
}

// Program is a program that was built static and stripped.
type Program struct {
	Library, Role string
	Size          int64 // in bytes
	Packages      int   // linked packages, those of the standard library too
	Foreign       int   // those of them that are not of the standard library
	Modules       int   // modules that they come from, the program's own included
}

// build builds all programs into dir. It runs in the module of the benchmarks.
func build(dir string) ([]Program, error) {
	root, err := command(".", "list", "-m", "-f", "{{.Dir}}", "github.com/tenonrpc/tenon")
	if err != nil {
		return nil, err
	}
	var all []Program
	for _, p := range programs {
		in := "."
		if p.root {
			in = strings.TrimSpace(string(root))
		}
		out := filepath.Join(dir, p.name)
		if _, err := command(in, "build", "-trimpath", "-ldflags=-s -w", "-o", out, p.pkg); err != nil {
			return nil, err
		}
		if p.library == "" {
			continue
		}
		info, err := os.Stat(out)
		if err != nil {
			return nil, err
		}
		built := Program{Library: p.library, Role: p.role, Size: info.Size()}
		list, err := command(in, "list", "-deps", "-f", "{{.ImportPath}} {{with .Module}}{{.Path}}{{end}}", p.pkg)
		if err != nil {
			return nil, err
		}
		modules := make(map[string]bool)
		for lines := bufio.NewScanner(bytes.NewReader(list)); lines.Scan(); {
			built.Packages++
			if _, module, _ := strings.Cut(lines.Text(), " "); module != "" {
				built.Foreign++
				modules[module] = true
			}
		}
		built.Modules = len(modules)
		all = append(all, built)
	}
	return all, nil
}

// command runs the go command in a directory, for static programs, and returns
// its output.
func command(dir string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		err = fmt.Errorf("%w\n%s", err, failed.Stderr)
	}
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}
