package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/fleet"
	"github.com/tenonrpc/tenon/testdata/examples/kvmain"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// An application starts all plugins in a directory, uses them by name, and ends them
// together.
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

// Plugins can be started in a group one by one, until it is closed. The name of one
// that has ended is free again.
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
var pluginEnv = []string{kvmain.Variable + "=1", "GORACE=atexit_sleep_ms=0"}

// install makes a directory with the test program in it, as plugins, and files that are
// no plugins. Names end in .exe, by which programs are recognised on Windows; elsewhere
// the mode decides.
func install(names ...string) (dir string, err error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	// Programs must be executable there, and no other user may replace them: the test
	// program's own directory is the better guess, but this user may not be able to
	// write there.
	for _, parent := range []string{filepath.Dir(path), os.TempDir()} {
		if dir, err = installBelow(parent, path, names); err == nil {
			break
		}
	}
	return dir, err
}

func installBelow(parent, path string, names []string) (dir string, err error) {
	if dir, err = os.MkdirTemp(parent, "app"); err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	for _, name := range names {
		to := filepath.Join(dir, name)
		if filepath.Ext(name) == ".exe" {
			err = linkOrCopy(path, to)
		} else {
			err = os.WriteFile(to, []byte("\n"), 0o600)
		}
		if err != nil {
			return "", err
		}
	}
	_, err = fleet.Discover(dir, "*")
	return dir, err
}

// linkOrCopy links where that works, which is cheaper than copying: Windows does not
// remove a link to a running program, and links share the program's mode.
func linkOrCopy(path, to string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if runtime.GOOS != "windows" && info.Mode()&0o002 == 0 && os.Link(path, to) == nil {
		return nil
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(to, program, 0o700)
}
