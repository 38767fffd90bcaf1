package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/fleet"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// An application starts all plugins that are in a directory, uses them by name, and
// ends them together.
func ExampleDiscover() {
	dir, err := install("app-plugin-users.exe", "app-plugin-files.exe", "app-plugin-files.conf") // /usr/lib/app/plugins
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	paths, err := fleet.Discover(dir, "app-plugin-*")
	if err != nil {
		fmt.Println(err) // any user of this machine can write one of them, for example
		return
	}
	configs := make(map[string]*host.Config)
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".exe")
		configs[name] = &host.Config{
			Handshake: kvshared.Handshake,
			Cmd:       exec.Command(path),
			Env:       pluginEnv,
		}
	}

	ctx := context.Background()
	var group fleet.Group
	if err := group.StartAll(ctx, configs); err != nil { // all of them, or none
		fmt.Println(err)
		return
	}
	for _, name := range group.Names() {
		kv := kvpb.NewKVClient(group.Client(name).Conn())
		_, err := kv.Put(ctx, &kvpb.Entry{Key: "hello"})
		fmt.Println(name, err)
	}
	fmt.Println("closed:", group.Close(), group.Names())
	// Output:
	// app-plugin-files <nil>
	// app-plugin-users <nil>
	// closed: <nil> []
}

// Plugins can join a group one by one, until it is closed. The name of one that has
// ended is free again.
func ExampleGroup_Start() {
	path, err := os.Executable()
	if err != nil {
		fmt.Println(err)
		return
	}
	config := &host.Config{Handshake: kvshared.Handshake, Cmd: exec.Command(path), Env: pluginEnv}

	ctx := context.Background()
	var group fleet.Group
	defer group.Close()
	client, err := group.Start(ctx, "users", config)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = group.Start(ctx, "users", config)
	fmt.Println("another:", errors.Is(err, fleet.ErrNameTaken))

	if err := client.Close(); err != nil {
		fmt.Println(err)
		return
	}
	_, err = group.Start(ctx, "users", config)
	fmt.Println("in its place:", err)

	if err := group.Close(); err != nil {
		fmt.Println(err)
	}
	_, err = group.Start(ctx, "files", config)
	fmt.Println("too late:", errors.Is(err, fleet.ErrGroupClosed))
	// Output:
	// another: true
	// in its place: <nil>
	// too late: true
}

// pluginEnv makes the test program the plugin of these examples. Plugins of an
// application need no such thing.
var pluginEnv = []string{pluginVariable + "=1", "GORACE=atexit_sleep_ms=0"}

// install makes a directory with copies of the test program, as plugins. Names end
// in .exe, by which programs are known on Windows; elsewhere the mode says so.
func install(names ...string) (dir string, err error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp("", "app"); err != nil {
		return "", err
	}
	for _, name := range names {
		mode := os.FileMode(0o600)
		if filepath.Ext(name) == ".exe" {
			mode = 0o700
		}
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), program, mode))
	}
	return dir, err
}
