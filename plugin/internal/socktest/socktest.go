// Package socktest makes the listeners for tests of this module: unix sockets where the
// system has them, and TCP on this machine's own addresses elsewhere, as plugins and
// hosts do. Only tests import it.
package socktest

import (
	"net"
	"os"
	"runtime"
	"sync"

	"github.com/tenonrpc/tenon/plugin/internal/files"
)

// NoUnix is the reason for skipping a test about unix sockets.
const NoUnix = "this system has no unix sockets"

// HasUnix reports whether the system has unix sockets. Windows has them since version 10,
// Wine does not. On other systems it is true without a try: a test that cannot make one
// there should fail.
var HasUnix = sync.OnceValue(func() bool {
	if runtime.GOOS != "windows" {
		return true
	}
	l, err := unix(os.TempDir())
	if err == nil {
		l.Close()
	}
	return err == nil
})

// Network returns the network of Listen, "unix" or "tcp".
func Network() string {
	if HasUnix() {
		return "unix"
	}
	return "tcp"
}

// Listen listens on a socket, in dir if it is a unix socket; dir must be short enough.
// Closing the listener removes the socket.
func Listen(dir string) (net.Listener, error) {
	if HasUnix() {
		return unix(dir)
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

func unix(dir string) (net.Listener, error) {
	return files.Listen(dir, "s", files.Private(files.SocketMode), nil)
}

// Dial connects to what listens at addr.
func Dial(addr net.Addr) (net.Conn, error) { return net.Dial(addr.Network(), addr.String()) }
