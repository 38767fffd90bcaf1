// Kvhost is the example's host. It starts kvplugin, uses every method of the store that
// it serves, stops it, and prints what happened.
//
//	kvhost [path of kvplugin]
//
// Without an argument it starts the kvplugin in its own directory.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"time"
)

// timeLimit bounds the whole run, which takes a fraction of a second.
const timeLimit = 30 * time.Second

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: kvhost [path of kvplugin]")
	}
	flag.Parse()
	path, err := pluginPath(flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "kvhost:", err)
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, timeLimit)
	defer cancel()
	if err := run(ctx, path, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kvhost:", err)
		os.Exit(1)
	}
}

func pluginPath(args []string) (string, error) {
	switch len(args) {
	case 0:
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("finding the kvplugin next to this program: %w; give its path as an argument", err)
		}
		name := "kvplugin"
		if runtime.GOOS == "windows" {
			name += ".exe"
		}
		return filepath.Join(filepath.Dir(self), name), nil
	case 1:
		return args[0], nil
	}
	return "", errors.New("more than one argument; give only the path of kvplugin")
}
