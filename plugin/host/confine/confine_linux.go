package confine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"

	"github.com/tenonrpc/tenon/plugin/internal/ownthread"
)

func (p *Policy) start(cmd *exec.Cmd, socketDir string) error {
	if cmd.Process != nil {
		return errors.New("confine: the command has been started already")
	}
	if err := p.check(); err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	rules, err := p.ruleset(cmd.Path, socketDir)
	if err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	defer syscall.Close(rules)
	attr, group, err := p.attributes(cmd.SysProcAttr)
	if err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	if group != nil {
		defer group.Close()
	}
	cmd.SysProcAttr = attr
	if !p.Stdin && cmd.Stdin == io.Reader(os.Stdin) {
		cmd.Stdin = nil // which is /dev/null
	}
	return ownthread.Run(func() error {
		if err := noNewPrivileges(); err != nil {
			return fmt.Errorf("confine: giving up new privileges: %w", err)
		}
		if err := p.filter(attr); err != nil {
			return fmt.Errorf("confine: applying the seccomp filter: %w", err)
		}
		if err := restrictSelf(rules); err != nil {
			return fmt.Errorf("confine: applying the Landlock ruleset: %w", err)
		}
		return cmd.Start()
	})
}

// check returns an error if a policy promises what cannot be enforced.
func (p *Policy) check() error {
	switch ports := len(p.ConnectTCP)+len(p.ListenTCP) > 0; {
	case auditArch == 0 && !(p.AllowTCP && p.AllowUDP && p.AllowMetadata):
		return fmt.Errorf("sockets and the metadata of files cannot be restricted on %s, for which there is no seccomp filter: set Policy.AllowTCP, AllowUDP and AllowMetadata to do without", runtime.GOARCH)
	case p.AllowTCP && ports:
		return errors.New("Policy.AllowTCP allows all of TCP: ConnectTCP and ListenTCP must be empty")
	case ports && !slices.Contains(p.ListenTCP, 0):
		return errors.New("Policy.ConnectTCP and ListenTCP give the plugin TCP sockets, and listen(2) without bind(2), which the kernel cannot restrict, lets them accept connections on a port that the system chooses: add port 0, which stands for those ports, to ListenTCP to accept that; or leave both empty, or set Policy.AllowTCP")
	}
	return nil
}

// attributes returns the attributes to start the process with, and the open control
// group, if any. The caller's attr is not changed.
func (p *Policy) attributes(attr *syscall.SysProcAttr) (*syscall.SysProcAttr, *os.File, error) {
	own := syscall.SysProcAttr{}
	if attr != nil {
		own = *attr
	}
	if own.Pdeathsig != 0 {
		return nil, nil, errors.New("SysProcAttr.Pdeathsig is sent when the thread that started the plugin ends, which here is at once: leave it out; a plugin of this library ends when its host is gone")
	}
	if p.Namespaces&^allNamespaces != 0 {
		return nil, nil, fmt.Errorf("Policy.Namespaces %#x holds unknown bits", uint(p.Namespaces))
	}
	for _, n := range []struct {
		ns   Namespaces
		flag uintptr
	}{{User, syscall.CLONE_NEWUSER}, {PID, syscall.CLONE_NEWPID}, {IPC, syscall.CLONE_NEWIPC}, {Network, syscall.CLONE_NEWNET}} {
		if p.Namespaces&n.ns != 0 {
			own.Cloneflags |= n.flag
		}
	}
	if p.Namespaces&User != 0 {
		if os.Getuid() == 0 {
			return nil, nil, errors.New("Policy.Namespaces has User, and the host runs as root, which does not need it for the other namespaces: leave it out")
		}
		if own.UidMappings != nil || own.GidMappings != nil || own.Credential != nil {
			return nil, nil, errors.New("Policy.Namespaces has User: SysProcAttr must not have Credential, UidMappings or GidMappings, since the plugin keeps the host's user")
		}
		// The numbers are the same inside and outside, so that files keep their owners,
		// and peers of sockets their users.
		own.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
		own.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
	}
	if p.Cgroup == "" {
		return &own, nil, nil
	}
	if own.UseCgroupFD {
		return nil, nil, errors.New("both Policy.Cgroup and SysProcAttr.UseCgroupFD name a control group")
	}
	group, err := os.Open(p.Cgroup)
	if err != nil {
		return nil, nil, fmt.Errorf("opening Policy.Cgroup: %w", err)
	}
	if _, err := os.Stat(p.Cgroup + "/cgroup.procs"); err != nil {
		group.Close()
		return nil, nil, fmt.Errorf("Policy.Cgroup: %q is no control group of version 2: %w", p.Cgroup, err)
	}
	own.UseCgroupFD, own.CgroupFD = true, int(group.Fd())
	return &own, group, nil
}

func libraries() []string {
	var out []string
	for _, p := range []string{"/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/ld.so.preload"} {
		if _, err := os.Stat(p); !errors.Is(err, fs.ErrNotExist) {
			out = append(out, p)
		}
	}
	return out
}
