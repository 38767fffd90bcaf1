// Languages runs plugins and hosts in other languages against this library, and
// writes what works as a table into the README.
//
// Each language has a directory, whose README is a guide of one page. The
// commands in the guide are run first, as they stand: they install the language's
// libraries at fixed versions into -dir, and show the examples at work. Then every
// case is tried. What does not work is expected by name, with the reason and whose
// limit it is; a case that fails otherwise, or that works against expectation, is
// a failure, and so is a library that cannot be installed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// installPatience bounds a guide's commands, which download, and may build all that they use.
	installPatience = 5 * time.Minute
	// casePatience bounds one case, on a busy machine.
	casePatience = 30 * time.Second
)

func main() {
	dir := flag.String("dir", "", "the `directory` that everything is installed to and built in")
	readme := flag.String("readme", "", "a `file` into which the table is written between markers")
	only := flag.String("only", "", "the languages to run, separated by commas; all if empty, and only then is the table written")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *dir, *readme, *only); err != nil {
		fmt.Fprintln(os.Stderr, "languages:", err)
		os.Exit(1)
	}
}

// A bench is where the run works.
type bench struct {
	dir     string // what is built and installed, absolute
	sources string // the languages' directories, absolute
	temp    string // sockets and temporary files of the plugins
}

func run(ctx context.Context, dir, readme, only string) error {
	if dir == "" {
		return errors.New("-dir says where to install the languages' libraries")
	}
	b, err := newBench(ctx, dir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(b.temp)
	chosen := languages(b)
	if only != "" {
		names := strings.Split(only, ",")
		chosen = slices.DeleteFunc(chosen, func(l *language) bool { return !slices.Contains(names, l.name) })
		if len(chosen) != len(names) {
			return fmt.Errorf("-only %s names a language that there is not", only)
		}
	}
	var failed []string
	for _, l := range chosen {
		if err := b.guide(ctx, l.name); err != nil {
			fmt.Printf("%s: its guide fails: %v\n", l.name, err)
			failed = append(failed, l.name)
			continue
		}
		if n := l.try(ctx); n > 0 {
			failed = append(failed, fmt.Sprintf("%s (%d)", l.name, n))
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("not all is as it should be with %s", strings.Join(failed, ", "))
	}
	if only != "" {
		return nil
	}
	table := table(chosen)
	fmt.Println()
	fmt.Print(table)
	return writeReadme(readme, table)
}

// newBench builds our own programs.
func newBench(ctx context.Context, dir string) (*bench, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	sources, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	for _, p := range []struct{ in, pkg string }{{"../../..", "./cmd/kvplugin"}, {"../../..", "./cmd/kvhost"}, {".", "./cmd/tenon-plugin"}} {
		build := exec.CommandContext(ctx, "go", "build", "-o", dir+"/", p.pkg)
		build.Dir = p.in
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building %s: %w\n%s", p.pkg, err, out)
		}
	}
	// A short name: sockets go there, and their paths are limited.
	temp, err := os.MkdirTemp("", "tl")
	if err != nil {
		return nil, err
	}
	if err := os.Setenv("TMPDIR", temp); err != nil {
		return nil, err
	}
	return &bench{dir: dir, sources: sources, temp: temp}, nil
}

// path returns the path of a file that was built or installed.
func (b *bench) path(elem ...string) string {
	return filepath.Join(append([]string{b.dir}, elem...)...)
}

// source returns the path of a language's file.
func (b *bench) source(elem ...string) string {
	return filepath.Join(append([]string{b.sources}, elem...)...)
}

// guide runs the commands in a language's guide.
func (b *bench) guide(ctx context.Context, name string) error {
	text, err := os.ReadFile(b.source(name, "README.md"))
	if err != nil {
		return err
	}
	script := commands(string(text))
	if script == "" {
		return errors.New("it has no commands")
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, installPatience)
	defer cancel()
	shell := exec.CommandContext(ctx, "sh", "-eu", "-c", script)
	shell.Dir = b.source(name)
	shell.Env = append(os.Environ(), "BUILD="+b.dir)
	shell.WaitDelay = time.Second // children may hold its output
	out, err := shell.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	fmt.Printf("%s: its guide works, in %v\n", name, time.Since(begun).Round(time.Second))
	return nil
}

// commands returns the shell commands that stand in a guide's code blocks.
func commands(guide string) string {
	var script strings.Builder
	for {
		_, rest, ok := strings.Cut(guide, "```sh\n")
		if !ok {
			return script.String()
		}
		block, after, _ := strings.Cut(rest, "```\n")
		script.WriteString(block)
		guide = after
	}
}
