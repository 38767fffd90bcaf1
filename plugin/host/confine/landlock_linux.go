package confine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// Numbers of the kernel's interface, the same on all of Go's architectures:
// include/uapi/linux/landlock.h and prctl.h.
const (
	sysLandlockCreateRuleset = 444
	sysLandlockAddRule       = 445
	sysLandlockRestrictSelf  = 446

	landlockCreateRulesetVersion = 1
	landlockRulePathBeneath      = 1
	landlockRuleNetPort          = 2

	prSetNoNewPrivs = 38
)

// Rights to files and directories. Those from truncate on came later.
const (
	fsExecute uint64 = 1 << iota
	fsWriteFile
	fsReadFile
	fsReadDir
	fsRemoveDir
	fsRemoveFile
	fsMakeChar
	fsMakeDir
	fsMakeReg
	fsMakeSock
	fsMakeFifo
	fsMakeBlock
	fsMakeSym
	fsRefer    // version 2
	fsTruncate // version 3
	fsIoctlDev // version 5

	fsRead  = fsExecute | fsReadFile | fsReadDir
	fsWrite = fsReadFile | fsReadDir | fsWriteFile | fsRemoveDir | fsRemoveFile | fsMakeDir | fsMakeReg | fsMakeSock | fsMakeFifo | fsMakeSym | fsRefer | fsTruncate
	// fsOfFiles are the rights that a rule for anything but a directory may have.
	fsOfFiles = fsExecute | fsWriteFile | fsReadFile | fsTruncate | fsIoctlDev

	netBindTCP    uint64 = 1 << 0
	netConnectTCP uint64 = 1 << 1

	scopeAbstractUnixSocket uint64 = 1 << 0
	scopeSignal             uint64 = 1 << 1
)

// The versions of Landlock that each restriction needs.
const (
	filesVersion   = 3 // Linux 6.2; before it, files could be truncated
	ioctlVersion   = 5 // Linux 6.10; before it, devices are not restricted
	tcpVersion     = 4 // Linux 6.7
	signalsVersion = 6 // Linux 6.12
)

// rulesetAttr is struct landlock_ruleset_attr.
type rulesetAttr struct {
	handledFS, handledNet, scoped uint64
}

// netPortAttr is struct landlock_net_port_attr.
type netPortAttr struct{ allowed, port uint64 }

// landlockVersion returns the kernel's version of Landlock.
func landlockVersion() (int, error) {
	v, _, errno := syscall.Syscall(sysLandlockCreateRuleset, 0, 0, landlockCreateRulesetVersion)
	switch errno {
	case 0:
		return int(v), nil
	case syscall.ENOSYS:
		return 0, errors.New("the kernel has no Landlock: Linux 6.2 or later is needed")
	case syscall.EOPNOTSUPP:
		return 0, errors.New("the kernel has Landlock switched off: its parameter lsm= must name it")
	}
	return 0, fmt.Errorf("asking for the version of Landlock: %w", errno)
}

// ruleset makes the Landlock ruleset of a policy for the program at path. It returns
// the ruleset's descriptor, which is close-on-exec.
func (p *Policy) ruleset(path, socketDir string) (int, error) {
	version, err := landlockVersion()
	if err != nil {
		return -1, err
	}
	attr := rulesetAttr{handledFS: fsIoctlDev - 1}
	if version < filesVersion {
		return -1, fmt.Errorf("the kernel's Landlock has version %d: restricting files needs %d (Linux 6.2)", version, filesVersion)
	}
	if version >= ioctlVersion {
		attr.handledFS |= fsIoctlDev
	}
	if !p.AllowTCP {
		if version < tcpVersion {
			return -1, fmt.Errorf("the kernel's Landlock has version %d: restricting TCP needs %d (Linux 6.7); set Policy.AllowTCP to do without", version, tcpVersion)
		}
		attr.handledNet = netBindTCP | netConnectTCP
	}
	if !p.AllowSignals {
		if version < signalsVersion {
			return -1, fmt.Errorf("the kernel's Landlock has version %d: restricting signals needs %d (Linux 6.12); set Policy.AllowSignals to do without", version, signalsVersion)
		}
		attr.scoped = scopeAbstractUnixSocket | scopeSignal
	}
	// An older kernel accepts the longer structure if the fields it does not know are 0.
	fd, _, errno := syscall.Syscall(sysLandlockCreateRuleset, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return -1, fmt.Errorf("making a Landlock ruleset: %w", errno)
	}
	if err := p.addRules(int(fd), path, socketDir); err != nil {
		syscall.Close(int(fd))
		return -1, err
	}
	return int(fd), nil
}

func (p *Policy) addRules(fd int, path, socketDir string) error {
	// The verified copy of a program may be a file of no file system, which needs no
	// rule and cannot have one.
	if err := allowPath(fd, path, fsExecute|fsReadFile); err != nil && !errors.Is(err, syscall.EBADFD) {
		return fmt.Errorf("the plugin's own program: %w", err)
	}
	// Programs open it for their children's standard streams, as cmd.Start does for
	// streams that are not set.
	if err := allowPath(fd, os.DevNull, fsReadFile|fsWriteFile|fsTruncate); err != nil {
		return err
	}
	if socketDir != "" {
		if err := allowPath(fd, socketDir, fsWrite); err != nil {
			return fmt.Errorf("the directory for sockets: %w", err)
		}
	}
	if p.Namespaces&User != 0 {
		// The calling thread, which the rules already restrict, writes the user mapping
		// of the namespace there.
		if err := allowPath(fd, "/proc", fsReadFile|fsWriteFile); err != nil {
			return err
		}
	}
	for _, path := range p.Read {
		if err := allowPath(fd, path, fsRead); err != nil {
			return fmt.Errorf("Policy.Read: %w", err)
		}
	}
	for _, path := range p.Write {
		if err := allowPath(fd, path, fsWrite); err != nil {
			return fmt.Errorf("Policy.Write: %w", err)
		}
	}
	for _, port := range p.ConnectTCP {
		if err := allowPort(fd, port, netConnectTCP); err != nil {
			return fmt.Errorf("Policy.ConnectTCP: port %d: %w", port, err)
		}
	}
	for _, port := range p.ListenTCP {
		if err := allowPort(fd, port, netBindTCP); err != nil {
			return fmt.Errorf("Policy.ListenTCP: port %d: %w", port, err)
		}
	}
	return nil
}

// oPath is O_PATH, which package syscall lacks: the file is located but not opened.
const oPath = 0x200000

// allowPath allows rights to a file, or to a directory and all below it.
func allowPath(ruleset int, path string, rights uint64) error {
	f, err := os.OpenFile(path, oPath|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.IsDir() {
		rights &= fsOfFiles
	}
	// struct landlock_path_beneath_attr is packed: 8 bytes of rights and 4 of
	// the descriptor.
	var attr [12]byte
	binary.NativeEndian.PutUint64(attr[:], rights)
	binary.NativeEndian.PutUint32(attr[8:], uint32(f.Fd()))
	if err := addRule(ruleset, landlockRulePathBeneath, unsafe.Pointer(&attr)); err != nil {
		return &os.PathError{Op: "landlock_add_rule", Path: path, Err: err}
	}
	runtime.KeepAlive(f)
	return nil
}

func allowPort(ruleset int, port uint16, right uint64) error {
	attr := netPortAttr{right, uint64(port)}
	return addRule(ruleset, landlockRuleNetPort, unsafe.Pointer(&attr))
}

func addRule(ruleset int, kind uintptr, attr unsafe.Pointer) error {
	if _, _, errno := syscall.Syscall6(sysLandlockAddRule, uintptr(ruleset), kind, uintptr(attr), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// noNewPrivileges and restrictSelf act on the calling thread and on what it starts, and
// cannot be undone.
func noNewPrivileges() error {
	if _, _, errno := syscall.Syscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func restrictSelf(ruleset int) error {
	if _, _, errno := syscall.Syscall(sysLandlockRestrictSelf, uintptr(ruleset), 0, 0); errno != 0 {
		return errno
	}
	return nil
}
