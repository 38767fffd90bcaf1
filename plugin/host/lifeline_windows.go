package host

import (
	"os"
	"os/exec"
	"syscall"

	"github.com/tenonrpc/tenon/plugin/internal/winpipe"
	"github.com/tenonrpc/tenon/wire"
)

// lifeline is the pipe by which a plugin detects that its host is gone. The host keeps
// the write end and never writes: the system closes it with the host.
type lifeline struct {
	plugin, host *os.File
	id           wire.Lifeline
}

// newLifeline makes a pipe that the plugin inherits as a handle. Handles keep their
// numbers.
func newLifeline(int) (*lifeline, error) {
	p, err := winpipe.ToPlugin()
	if err != nil {
		return nil, err
	}
	return &lifeline{p.Plugin, p.Host, p.ID}, nil
}

// newOutputPipe makes a pipe that the plugin writes.
func newOutputPipe(int) (*lifeline, error) {
	p, err := winpipe.ToHost()
	if err != nil {
		return nil, err
	}
	return &lifeline{p.Plugin, p.Host, p.ID}, nil
}

// newStreamPipe makes a pipe for a standard stream. Reads of os.Pipe's would go on
// after Close, as long as anybody has its other end.
func newStreamPipe() (r, w *os.File, err error) {
	p, err := winpipe.ToHost()
	if err != nil {
		return nil, nil, err
	}
	return p.Host, p.Plugin, nil
}

// inherit makes a command inherit files.
func inherit(cmd *exec.Cmd, files []*os.File) {
	if len(files) == 0 {
		return
	}
	attr := new(syscall.SysProcAttr)
	if cmd.SysProcAttr != nil {
		*attr = *cmd.SysProcAttr
	}
	handles := append([]syscall.Handle(nil), attr.AdditionalInheritedHandles...)
	for _, f := range files {
		handles = append(handles, syscall.Handle(f.Fd()))
	}
	attr.AdditionalInheritedHandles = handles
	cmd.SysProcAttr = attr
}
