//go:build unix

package host

import (
	"os"
	"os/exec"
	"slices"
	"syscall"

	"github.com/tenonrpc/tenon/wire"
)

// lifeline is the pipe by which a plugin detects that its host is gone. The host keeps
// the write end and never writes: the kernel closes it with the host.
type lifeline struct {
	plugin, host *os.File
	id           wire.Lifeline
}

// newLifeline makes a pipe whose read end the plugin is to have as descriptor fd.
func newLifeline(fd int) (*lifeline, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	info, err := r.Stat()
	if err != nil {
		r.Close()
		w.Close()
		return nil, err
	}
	st := info.Sys().(*syscall.Stat_t) // what os.File.Stat returns on unix systems
	return &lifeline{r, w, wire.Lifeline{FD: fd, Device: uint64(st.Dev), Inode: uint64(st.Ino)}}, nil
}

// newOutputPipe is newLifeline in the other direction: the plugin writes.
func newOutputPipe(fd int) (*lifeline, error) {
	p, err := newLifeline(fd)
	if err != nil {
		return nil, err
	}
	p.plugin, p.host = p.host, p.plugin
	return p, nil
}

// newStreamPipe makes a pipe for a standard stream.
func newStreamPipe() (r, w *os.File, err error) { return os.Pipe() }

// inherit makes a command inherit files.
func inherit(cmd *exec.Cmd, files []*os.File) {
	cmd.ExtraFiles = slices.Concat(cmd.ExtraFiles, files)
}
