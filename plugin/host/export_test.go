package host

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"

	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/files"
)

// For tests of what no plugin can cause.

func Sweep(parent string) { sweep(parent) }

func NewSocketDir(parent string) (path string, remove func(), err error) {
	d, err := newSocketDir(parent, owner{uid: -1, gid: -1}, false, false)
	if err != nil {
		return "", nil, err
	}
	return d.path, func() { d.remove() }, nil
}

func HoldFile(f *os.File) error { return files.HoldFile(f) }

func CopyPrivate(ctx context.Context, src io.ReaderAt, name string) (path string, done func(), err error) {
	v, err := copyPrivate(ctx, src, name, new(settings))
	if err != nil {
		return "", nil, err
	}
	return v.path, v.close, nil
}

// Inherit makes a command inherit files.
func Inherit(cmd *exec.Cmd, files []*os.File) { inherit(cmd, files) }

// RoomOn returns how long the path of a directory may be that sockets are made below.
func RoomOn(goos string) int { return roomOn(goos) }

// NewIdentity and MakeSpare are what Start does for its identity.
func NewIdentity(curve automtls.Curve) (*automtls.Identity, error) { return newIdentity(curve) }

func MakeSpare(curve automtls.Curve) { makeSpare(curve) }

// DialPlugin dials an address that a plugin has announced.
func DialPlugin(ctx context.Context, remote bool, network, address string) (net.Conn, error) {
	return localDialer(remote).DialContext(ctx, network, address)
}

// ErrRemote is the error for addresses that must not be dialled.
var ErrRemote = errRemote

// StderrLog returns what logs the lines of a plugin's stderr.
func StderrLog(log *slog.Logger) (line func([]byte), flush func()) {
	l := &stderrLog{log: log}
	return l.line, l.flush
}

// InheritedTable returns the table of the variables that every plugin gets.
func InheritedTable() string {
	var b strings.Builder
	for _, group := range inherited {
		fmt.Fprintf(&b, "  | `%s` | %s |\n", strings.Join(group.names, "`, `"), group.why)
	}
	return b.String()
}

// The codec of records.

func ParseRecord(b []byte) (*Reattach, error)   { return parseRecord(b) }
func AppendRecord(b []byte, r *Reattach) []byte { return appendRecord(b, r) }

var (
	ErrReattachJSON   = errReattachJSON
	ErrReattachLimit  = errReattachLimit
	ErrReattachNumber = errReattachNumber
	ErrReattachFormat = errReattachFormat
)
