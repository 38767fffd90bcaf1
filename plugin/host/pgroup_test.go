//go:build unix

package host_test

import (
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin/host"
)

// TestProcessGroup has plugins that leave a child behind.
func TestProcessGroup(t *testing.T) {
	for name, end := range map[string]func(*host.Client){
		"Close":                func(c *host.Client) { c.Close() },
		"Kill":                 func(c *host.Client) { c.Kill() },
		"the plugin's doing":   func(c *host.Client) { do(t.Context(), c, "exit") },
		"its unexpected end":   func(c *host.Client) { syscall.Kill(c.PID(), syscall.SIGKILL) },
		"SIGTERM, no Shutdown": nil,
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			// The child lives as long as its stdin is open, and holds held.
			in, hold := pipe(t)
			heldR, heldW := pipe(t)
			cfg := fakeConfig(t, "good")
			if end == nil {
				cfg = fakeConfig(t, "no-shutdown")
				end = func(c *host.Client) { c.Close() }
			}
			cfg.Cmd.Stdin = in
			cfg.Cmd.ExtraFiles = []*os.File{heldW}
			cfg.ProcessGroup = true
			c := start(t, cfg)
			heldW.Close()
			if pgid, err := syscall.Getpgid(c.PID()); err != nil || pgid != c.PID() {
				t.Errorf("the plugin's group is %d, %v; want its own, %d", pgid, err, c.PID())
			}
			if _, err := do(t.Context(), c, "leave-a-child"); err != nil {
				t.Fatal(err)
			}
			end(c)
			<-c.Done()
			heldR.SetReadDeadline(time.Now().Add(ample))
			if _, err := heldR.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("the plugin's child lives on: %v", err)
			}
			hold.Close()
		})
	}
}

func TestProcessGroupOfAnother(t *testing.T) {
	cfg := fakeConfig(t, "good")
	cfg.ProcessGroup = true
	cfg.Cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: 1}
	if start := failing(t, cfg); start.Stage != host.StageConfig || !strings.Contains(start.Error(), "Pgid") {
		t.Errorf("got %v", start)
	}
	// A session's first process already has a group.
	noLeaks(t)
	cfg.Cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c := start(t, cfg)
	closes(t, c)
	if cfg.Cmd.SysProcAttr.Setpgid {
		t.Error("the caller's attributes were changed")
	}
}
