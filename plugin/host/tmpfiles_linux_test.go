package host_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host"
)

// cleaner returns a function that runs the real systemd-tmpfiles on a directory in
// which nothing is too young to be removed.
func cleaner(t *testing.T, dir string) func() {
	t.Helper()
	program, err := exec.LookPath("systemd-tmpfiles")
	if err != nil {
		without(t, "systemd-tmpfiles is not installed (Debian's package systemd-standalone-tmpfiles): %v", err)
	}
	config := filepath.Join(t.TempDir(), "tn.conf")
	if err := os.WriteFile(config, []byte("d "+dir+" - - - 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		if out, err := exec.Command(program, "--clean", config).CombinedOutput(); err != nil {
			t.Errorf("systemd-tmpfiles: %v\n%s", err, out)
		}
	}
}

// The directories of a running plugin are never taken for old files, however old they
// are.
func TestOldFilesAreCleared(t *testing.T) {
	for name, change := range map[string]func(*host.Config){
		"attached": func(*host.Config) {},
		"let go":   func(c *host.Config) { c.Detach = true },
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			dir := shortDir(t)
			clean := cleaner(t, dir)
			cfg := withEcho(t, "lender")
			cfg.Sockets.TempDir = dir
			change(cfg)
			c := start(t, cfg)
			dead := filepath.Join(dir, "tenon-dead")
			old := filepath.Join(dir, "old")
			must(os.Mkdir(dead, 0o700))
			must(os.WriteFile(old, nil, 0o600))
			clean()
			if exists(dead) || exists(old) {
				t.Error("systemd-tmpfiles has cleared nothing away")
			}
			if socket := connectedTo(t, c).String(); !exists(socket) {
				t.Errorf("it has taken %s", socket)
			}
			usesBroker(t, c)
			if cfg.Detach {
				r, err := c.ReattachWithKey()
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Detach(); err != nil {
					t.Fatal(err)
				}
				cfg.Cmd, cfg.Detach, cfg.Env, cfg.Reattach = nil, false, nil, r
				c = start(t, cfg)
				clean()
				usesBroker(t, c)
			}
			closes(t, c)
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// TestStartsBesideCleaning starts and ends plugins while old files are removed
// continuously, which takes the lock of each directory for a moment.
func TestStartsBesideCleaning(t *testing.T) {
	noLeaks(t)
	dir := shortDir(t)
	clean := cleaner(t, dir)
	stop := make(chan struct{})
	var cleaning sync.WaitGroup
	defer cleaning.Wait()
	defer close(stop)
	cleaning.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				clean()
			}
		}
	})
	for range 20 {
		cfg := withEcho(t, "real")
		cfg.Sockets.TempDir = dir
		c := start(t, cfg)
		usesBroker(t, c)
		closes(t, c)
	}
}
