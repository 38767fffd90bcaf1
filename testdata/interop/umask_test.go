//go:build unix && !oldgoplugin

package interop_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tenonrpc/tenon/plugin/interop/cases"
)

// TestUmask has hosts, and so their plugins, with a umask that takes the permission
// to enter from directories: services have such that are to write private files
// only. Root is not kept out by modes, and becomes somebody else for the time.
func TestUmask(t *testing.T) {
	const nobody = 65534
	var notes []func() // the file for them is root's
	defer func() {
		for _, note := range notes {
			note()
		}
	}()
	temp := os.TempDir()
	if os.Getuid() == 0 {
		for _, dir := range []string{filepath.Dir(temp), programs} {
			if err := os.Chmod(dir, 0o711); err != nil {
				t.Fatal(err)
			}
			defer os.Chmod(dir, 0o700)
		}
		if err := errors.Join(os.Chown(temp, nobody, 0), syscall.Setresuid(0, nobody, 0)); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := errors.Join(syscall.Setresuid(0, 0, 0), os.Chown(temp, 0, 0)); err != nil {
				t.Fatal(err)
			}
		}()
	}
	defer syscall.Umask(syscall.Umask(0o177))
	each(t, func(t *testing.T, p pair, mode cases.Mode, log *cases.Output) {
		h, err := p.start(cases.Setup{}, mode, log)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Stop(t.Context())
		runSome(t, h)
		if !t.Failed() {
			notes = append(notes, func() { passed(p.host, p.plugin, mode, "umask 0177") })
		}
	})
	// Beyond that, what the umask takes from go-plugin's sockets is said.
	syscall.Umask(0o277)
	h, err := pairs[0].start(cases.Setup{}, cases.Mode{}, new(cases.Output))
	if err == nil {
		h.Stop(t.Context())
	}
	if err == nil || !strings.Contains(err.Error(), "with a umask such as 0077") {
		t.Errorf("umask 0277: %v", err)
	}
}
