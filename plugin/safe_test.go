package plugin

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/tenonrpc/tenon/wire"
)

// TestSocketsWaitForSignals checks that no socket, which a signal could leave behind,
// exists before signals are caught.
func TestSocketsWaitForSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("plugins listen on TCP")
	}
	dir, err := os.MkdirTemp("", "tn") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for name, c := range map[string]*ServeConfig{
		"a socket of the library's": {},
		"the application's own": {Sockets: Sockets{Listen: func() (net.Listener, error) {
			return net.Listen("unix", filepath.Join(dir, "own"))
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.Logger = slog.New(slog.DiscardHandler)
				safe := make(chan struct{})
				l, err := newListener(c, wire.Env{UnixSocketDir: dir}, safe)
				if err != nil {
					t.Fatal(err)
				}
				made := make(chan net.Listener)
				go func() {
					lis, err := l.listen()
					if err != nil {
						t.Error(err)
					}
					made <- lis
				}()
				synctest.Wait()
				if there, err := os.ReadDir(dir); err != nil || len(there) > 0 {
					t.Errorf("there is %v, %v before signals are caught", there, err)
				}
				close(safe)
				if lis := <-made; lis != nil {
					lis.Close()
				}
			})
		})
	}
}
