package host_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/wire"
)

// victimEnv is a directory that is not the plugin's.
const victimEnv = "TN_VICTIM"

func init() {
	// A plugin that replaces its directory with a link to elsewhere, and ends.
	hostiles["moves-its-directory"] = func() {
		dir := os.Getenv(wire.EnvUnixSocketDir)
		for _, dir := range []string{dir, filepath.Dir(dir)} {
			fmt.Fprintln(os.Stderr, os.Rename(dir, dir+"-moved"), os.Symlink(os.Getenv(victimEnv), dir))
		}
	}
	// A plugin that fills its directory with links to elsewhere.
	hostiles["fills-its-directory"] = func() {
		dir := os.Getenv(wire.EnvUnixSocketDir)
		must(os.MkdirAll(dir+"/deep/deeper", 0o700))
		must(os.Symlink(os.Getenv(victimEnv), dir+"/link"))
		must(os.Symlink(os.Getenv(victimEnv), dir+"/deep/link"))
		must(os.WriteFile(dir+"/deep/deeper/file", nil, 0o000))
		os.Link(os.Getenv(victimEnv)+"/precious", dir+"/hard")
	}
	// A plugin that announces somebody else's socket, and lives or does not.
	hostiles["announces-another"] = func() {
		fmt.Println(line(1, 1, "unix", os.Getenv(addressEnv), "grpc", ownCert()))
		if os.Getenv(victimEnv) == "" {
			linger()
		}
	}
	// A wrapper that becomes another user before it runs the plugin.
	hostiles["becomes-nobody"] = func() {
		must(errors.Join(syscall.Setgroups(nil), syscall.Setresgid(nobody, nobody, nobody), syscall.Setresuid(nobody, nobody, nobody)))
		must(os.Setenv(fakeEnv, "lender"))
		must(syscall.Exec(os.Args[0], os.Args, os.Environ()))
	}
}

// furnishVictim makes a directory with something in it that must stay.
func furnishVictim(t *testing.T) (dir string) {
	t.Helper()
	dir = shortDir(t)
	must(os.MkdirAll(dir+"/sub/deep", 0o700))
	for _, name := range []string{"precious", "sub/deep/precious", "plugin1"} {
		must(os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600))
	}
	return dir
}

func wantVictim(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"precious", "sub/deep/precious", "plugin1"} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// openTemp lets other users reach what is below the directory for temporary files,
// and change it if all is set, for the test's time.
func openTemp(t *testing.T, all bool) {
	t.Helper()
	mode := fs.FileMode(0o711)
	if all {
		mode = 0o777
	}
	if err := os.Chmod(os.TempDir(), mode); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(os.TempDir(), 0o700) })
}

// A plugin, as this user and as another, tries in vain to make its host remove what is
// elsewhere.
func TestPluginsThatLeadTheirHostElsewhere(t *testing.T) {
	for _, name := range []string{"moves-its-directory", "fills-its-directory"} {
		for who, attr := range map[string]*syscall.SysProcAttr{"the same user": nil, "another user": asNobody()} {
			t.Run(name+", "+who, func(t *testing.T) {
				if attr != nil && os.Getuid() != 0 {
					t.Skip("only root can start a program as somebody else")
				}
				victim := furnishVictim(t)
				openTemp(t, true)
				program := filepath.Join(os.TempDir(), "program")
				copyFile(t, program, 0o755)
				cfg := fakeConfig(t, name)
				cfg.Cmd.Path = program
				cfg.Cmd.SysProcAttr = attr
				cfg.Env = append(cfg.Env, victimEnv+"="+victim)
				failing(t, cfg)
				wantVictim(t, victim)
				left, _ := filepath.Glob(os.TempDir() + "/tenon-*")
				for _, path := range left {
					if name == "fills-its-directory" || !strings.HasSuffix(path, "-moved") {
						// Nobody removes the directory that was moved; the link is the
						// plugin's.
						if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSymlink {
							t.Errorf("left: %s", path)
						}
					}
					os.RemoveAll(path)
				}
			})
		}
	}
}

// A plugin announces a socket that is somebody else's, and newer than itself. It is
// there when the plugin has ended, whether the host has connected to it or not.
func TestSocketsOfOthersStay(t *testing.T) {
	for name, ends := range map[string]string{"the plugin lives": "", "the plugin ends": "yes"} {
		for _, plaintext := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, plaintext %v", name, plaintext), func(t *testing.T) {
				noLeaks(t)
				l, sent := bystander(t, "unix", filepath.Join(os.TempDir(), "daemon"))
				l.(*net.UnixListener).SetUnlinkOnClose(false)
				cfg := fakeConfig(t, "announces-another")
				cfg.InsecurePlaintext = plaintext
				cfg.Env = append(cfg.Env, addressEnv+"="+l.Addr().String(), victimEnv+"="+ends)
				failing(t, cfg)
				if !exists(l.Addr().String()) {
					t.Error("somebody else's socket was removed")
				}
				l.Close()
				for range sent {
				}
				os.Remove(l.Addr().String())
			})
		}
	}
}

// A plugin of an old library has its socket in the directory for temporary files:
// it is removed with the plugin, unless another one has taken its place.
func TestSocketsElsewhere(t *testing.T) {
	for name, replace := range map[string]bool{"its own": false, "another one": true} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			c := start(t, fakeConfig(t, "old-socket"))
			socket := filepath.Join(os.TempDir(), "plugin"+strconv.Itoa(c.PID()))
			if !exists(socket) {
				t.Fatalf("there is no %s", socket)
			}
			if replace {
				must(os.Remove(socket))
				l, err := net.Listen("unix", socket)
				must(err)
				l.(*net.UnixListener).SetUnlinkOnClose(false)
				defer l.Close()
			}
			c.Kill()
			if exists(socket) != replace {
				t.Errorf("the socket is there: %v", exists(socket))
			}
			os.Remove(socket)
		})
	}
}

// A wrapper changes the user that the plugin runs as; Sockets.AllowUIDs names the user.
func TestWrappersThatChangeTheUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	openTemp(t, false)
	program := filepath.Join(os.TempDir(), "program")
	copyFile(t, program, 0o755)
	for name, plaintext := range map[string]bool{"AutoMTLS": false, "plaintext": true} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			cfg := withEcho(t, "becomes-nobody")
			cfg.Cmd = exec.Command(program)
			cfg.Cmd.Stdin = alive
			cfg.InsecurePlaintext = plaintext
			cfg.Sockets.AllowUIDs = []int{0, nobody}
			c := start(t, cfg)
			socket := connectedTo(t, c).String()
			if info, err := os.Lstat(socket); err != nil || info.Sys().(*syscall.Stat_t).Uid != nobody {
				t.Errorf("the socket is %v, %v", info, err)
			}
			usesBroker(t, c)
			usesLent(t, c)
			closes(t, c)
		})
	}
	// Without it, the error tells what is wrong.
	cfg := withEcho(t, "becomes-nobody")
	cfg.Cmd = exec.Command(program)
	cfg.Cmd.Stdin = alive
	if text := failing(t, cfg).Error(); !strings.Contains(text, "user 65534 may not make sockets") || !strings.Contains(text, "first in Sockets.AllowUIDs, or set Sockets.Group") {
		t.Errorf("got %s", text)
	}
}

// Members of a socket group connect, and make sockets; they do not take anybody
// else's place.
func TestGroupMembersKeepTheirPlaces(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can start a program as somebody else")
	}
	noLeaks(t)
	openTemp(t, false)
	cfg := withEcho(t, "real")
	cfg.Sockets.Group = strconv.Itoa(nobody)
	c := start(t, cfg)
	socket := connectedTo(t, c).String()
	dir := filepath.Dir(socket)
	out, err := asMember(`ln -s /etc/passwd "$0/link" && ls -d "$0/link" && ! mv -fT "$0/link" "$1" && ! rm -f "$1" && ! mv "$0" "$0-moved" && ! ln -s /etc "$0/../h/link"; echo $?`, dir, socket)
	if err != nil || !strings.HasSuffix(out, "\n0\n") {
		t.Errorf("%v: %s", err, out)
	}
	if info, err := os.Lstat(socket); err != nil || info.Mode().Type() != fs.ModeSocket {
		t.Errorf("the plugin's socket is %v, %v", info, err)
	}
	usesBroker(t, c)
	closes(t, c)
	if exists(dir) {
		t.Error("the directory is left")
	}
}

// A member of the group moves a directory into the plugin's, which the member can write
// to. It contains what the member could not have removed. The host does not remove it
// either.
func TestGroupMembersDoNotHaveTheirHostRemove(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can start a program as somebody else")
	}
	openTemp(t, false)
	shared := shortDir(t)
	moved := filepath.Join(shared, "moved")
	must(os.MkdirAll(moved+"/private", 0o755))
	must(os.WriteFile(moved+"/private/precious", nil, 0o644))
	for _, path := range []string{shared, moved} {
		must(errors.Join(os.Chown(path, 0, nobody), os.Chmod(path, 0o770)))
	}
	cfg := withEcho(t, "real")
	cfg.Sockets.Group = strconv.Itoa(nobody)
	c := start(t, cfg)
	dir := filepath.Dir(connectedTo(t, c).String())
	out, err := asMember(`! rm -f "$0/private/precious" && mv "$0" "$1/moved"; echo $?`, moved, dir)
	if err != nil || !strings.HasSuffix(out, "\n0\n") {
		t.Fatalf("%v: %s", err, out)
	}
	closes(t, c)
	if !exists(dir + "/moved/private/precious") {
		t.Error("the host removed what the member could not")
	}
	host.Sweep(os.TempDir())
	if !exists(dir + "/moved/private/precious") {
		t.Error("the sweep removed what the member could not")
	}
	must(os.RemoveAll(filepath.Dir(dir)))
}

// asMember runs a script as a member of nobody's group.
func asMember(script string, args ...string) (string, error) {
	cmd := exec.Command("/bin/sh", append([]string{"-c", script}, args...)...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65533, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// The modes and owners of every path, for each kind of plugin: SECURITY.md has the
// same table.
func TestRights(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can have a plugin of another user")
	}
	openTemp(t, false)
	program := filepath.Join(os.TempDir(), "program")
	copyFile(t, program, 0o755)
	const sticky = fs.ModeSticky
	for name, tc := range map[string]struct {
		change                           func(*host.Config)
		outer, plugin, hosts             fs.FileMode
		pluginUID, pluginGID, socketMode int
	}{
		"the same user": {func(*host.Config) {}, 0o700 | sticky, 0o700, 0o700, 0, 0, 0o600},
		"Credential":    {func(c *host.Config) { c.Cmd.SysProcAttr = asNobody() }, 0o711 | sticky, 0o700, 0o711, nobody, nobody, 0o600},
		"Group":         {func(c *host.Config) { c.Sockets.Group = strconv.Itoa(nobody) }, 0o711 | sticky, 0o770 | sticky, 0o711, 0, nobody, 0o660},
		"Credential and Group": {func(c *host.Config) { c.Cmd.SysProcAttr, c.Sockets.Group = asNobody(), strconv.Itoa(nobody) },
			0o711 | sticky, 0o770 | sticky, 0o711, nobody, nobody, 0o660},
		"AllowUIDs": {func(c *host.Config) { c.Sockets.AllowUIDs = []int{nobody} }, 0o711 | sticky, 0o700, 0o711, nobody, 0, 0o600},
		"Detach":    {func(c *host.Config) { c.Detach = true }, 0o700 | sticky, 0o700, 0o700, 0, 0, 0o600},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			cfg := withEcho(t, "real")
			cfg.Cmd.Path = program
			tc.change(cfg)
			c := start(t, cfg)
			plugin := filepath.Dir(connectedTo(t, c).String())
			outer := filepath.Dir(plugin)
			l, err := c.Broker().Accept(t.Context(), c.Broker().NextID())
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			for path, want := range map[string]struct {
				mode     fs.FileMode
				uid, gid int
			}{
				outer:              {fs.ModeDir | tc.outer, 0, 0},
				plugin:             {fs.ModeDir | tc.plugin, tc.pluginUID, tc.pluginGID},
				outer + "/h":       {fs.ModeDir | tc.hosts, 0, 0},
				l.Addr().String():  {fs.ModeSocket | fs.FileMode(tc.socketMode), tc.pluginUID, tc.pluginGID},
				outer + "/h/host1": {fs.ModeSocket | fs.FileMode(tc.socketMode), tc.pluginUID, tc.pluginGID},
			} {
				info, err := os.Lstat(path)
				if err != nil {
					t.Error(err)
					continue
				}
				st := info.Sys().(*syscall.Stat_t)
				if info.Mode() != want.mode || int(st.Uid) != want.uid || int(st.Gid) != want.gid {
					t.Errorf("%s is %v of %d:%d, want %v of %d:%d", strings.TrimPrefix(path, outer), info.Mode(), st.Uid, st.Gid, want.mode, want.uid, want.gid)
				}
			}
			closes(t, c)
		})
	}
}
