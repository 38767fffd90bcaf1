// Package winpipe makes the pipes that a host on Windows passes to its plugin, as
// inherited handles, because there are no descriptors. They serve as the lifeline and as
// the pipes for the plugin's output.
//
// A handle is a number, and a wrapper between host and plugin may have reused that number
// for something else. So the host gives each pipe a random name, which the plugin
// compares before it uses the handle.
package winpipe

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"unicode/utf16"
	"unsafe"

	"github.com/tenonrpc/tenon/wire"
)

// Pipe is a pipe between a host and its plugin.
type Pipe struct {
	Host   *os.File // the host's end: reading and writing it ends with Close
	Plugin *os.File // an inheritable handle
	ID     wire.Lifeline
}

// ToPlugin makes a pipe that the plugin reads, and ToHost one that it writes. The caller
// closes both ends, the plugin's once the plugin has started.
func ToPlugin() (*Pipe, error) { return newPipe(pipeAccessOutbound, syscall.GENERIC_READ) }

// ToHost is described with ToPlugin. The plugin's end blocks, like the standard streams:
// programs that inherit it expect that.
func ToHost() (*Pipe, error) { return newPipe(pipeAccessInbound, syscall.GENERIC_WRITE) }

// From the Windows SDK, winbase.h and minwinbase.h.
const (
	pipeAccessInbound         = 0x1
	pipeAccessOutbound        = 0x2
	fileFlagFirstPipeInstance = 0x00080000
	pipeRejectRemoteClients   = 0x8
	fileNameInfo              = 2 // FILE_INFO_BY_HANDLE_CLASS
)

var (
	kernel32                 = syscall.NewLazyDLL("kernel32.dll")
	createNamedPipe          = kernel32.NewProc("CreateNamedPipeW")
	getFileInformationByName = kernel32.NewProc("GetFileInformationByHandleEx")
)

// name returns the pipe's name in the directory of pipes.
func name(l wire.Lifeline) string { return fmt.Sprintf("tenon-%d-%016x", l.Device, l.Inode) }

// newPipe makes a pipe whose server is the host's end. Only a process of this user can be
// its client; it has only one, which is made here at once.
func newPipe(access, pluginAccess uint32) (*Pipe, error) {
	id := wire.Lifeline{Device: uint64(os.Getpid()), Inode: rand.Uint64()}
	path, err := syscall.UTF16PtrFromString(`\\.\pipe\` + name(id))
	if err != nil {
		return nil, err
	}
	// Without FILE_FLAG_OVERLAPPED a Read in progress would outlast Close.
	r, _, err := createNamedPipe.Call(uintptr(unsafe.Pointer(path)),
		uintptr(access|fileFlagFirstPipeInstance|syscall.FILE_FLAG_OVERLAPPED), pipeRejectRemoteClients,
		1, bufferSize, bufferSize, 0, 0)
	host := syscall.Handle(r)
	if host == syscall.InvalidHandle {
		return nil, os.NewSyscallError("CreateNamedPipe", err)
	}
	inherit := &syscall.SecurityAttributes{InheritHandle: 1}
	inherit.Length = uint32(unsafe.Sizeof(*inherit))
	var flags uint32
	if pluginAccess == syscall.GENERIC_READ {
		flags = syscall.FILE_FLAG_OVERLAPPED
	}
	plugin, err := syscall.CreateFile(path, pluginAccess, 0, inherit, syscall.OPEN_EXISTING, flags, 0)
	if err != nil {
		syscall.CloseHandle(host)
		return nil, os.NewSyscallError("CreateFile", err)
	}
	id.FD = int(plugin)
	return &Pipe{Host: os.NewFile(uintptr(host), "plugin"), Plugin: os.NewFile(uintptr(plugin), "host"), ID: id}, nil
}

// Open takes over the handle of a pipe that the host has made, and prevents this
// process's children from inheriting it.
func Open(l wire.Lifeline) (*os.File, error) {
	h := syscall.Handle(l.FD)
	switch kind, err := syscall.GetFileType(h); {
	case errors.Is(err, syscall.Errno(errorInvalidHandle)):
		return nil, fmt.Errorf("handle %d was not inherited on the way from the host to the plugin", l.FD)
	case err != nil:
		return nil, os.NewSyscallError("GetFileType", err)
	case kind != syscall.FILE_TYPE_PIPE || nameOf(h) != name(l):
		return nil, fmt.Errorf("handle %d is not the host's pipe", l.FD)
	}
	if err := syscall.SetHandleInformation(h, syscall.HANDLE_FLAG_INHERIT, 0); err != nil {
		return nil, os.NewSyscallError("SetHandleInformation", err)
	}
	return os.NewFile(uintptr(h), "host"), nil
}

const errorInvalidHandle = 6 // ERROR_INVALID_HANDLE

// nameOf returns the name of a pipe, without the directory, or "" if it has none, or a
// much longer one than the host's.
func nameOf(h syscall.Handle) string {
	// FILE_NAME_INFO: the length in bytes, then the text.
	var info struct {
		length uint32
		text   [64]uint16
	}
	ok, _, _ := getFileInformationByName.Call(uintptr(h), fileNameInfo, uintptr(unsafe.Pointer(&info)), unsafe.Sizeof(info))
	n := int(info.length / 2)
	if ok == 0 || n > len(info.text) || n == 0 || info.text[0] != '\\' {
		return ""
	}
	return string(utf16.Decode(info.text[1:n]))
}
