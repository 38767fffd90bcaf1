package plugin_test

import (
	"context"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
)

// dialAs connects as another user. The kernel records the user of the thread that calls
// connect; the thread ends with its goroutine.
func dialAs(ctx context.Context, uid int, network, address string) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			err = errno
			return
		}
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
	}()
	<-done
	return conn, err
}

// TestAllowUIDs: of other users, only those in AllowUIDs may connect.
func TestAllowUIDs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	const friend, stranger = 65534, 65533
	s := serve(t, &plugin.ServeConfig{
		Plugins: plugin.Set{"echo": serveEcho(plain)},
		Sockets: plugin.Sockets{AllowUIDs: []int{friend}},
	})
	for _, open := range []error{os.Chmod(s.dir, 0o711), os.Chmod(s.hs.Address, 0o666)} {
		if open != nil {
			t.Fatal(open)
		}
	}
	client := func(uid int) *h2grpc.ClientConn {
		cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: func(ctx context.Context) (net.Conn, error) {
			return dialAs(ctx, uid, s.hs.Network, s.hs.Address)
		}})
		t.Cleanup(func() { cc.Close() })
		return cc
	}
	if got, err := echo(deadline(t), client(stranger), "x"); err == nil {
		t.Errorf("a stranger is answered %q", got)
	}
	wantEcho(t, client(friend), "hello", "hello")
	wantEcho(t, client(0), "hello", "hello")
}
