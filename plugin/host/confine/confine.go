// Package confine starts plugins with less than their host's rights, on Linux,
// with what the kernel offers to every user: no new privileges, a Landlock
// ruleset, a seccomp filter, namespaces and a control group.
//
//	policy := &confine.Policy{Read: confine.Libraries(), Write: []string{"/var/lib/app/cache"}}
//	client, err := host.Start(ctx, &host.Config{
//		Handshake: handshake,
//		Cmd:       exec.Command("bin/plugin"),
//		StartCmd:  policy.Start,
//	})
//
// # What it protects from
//
// A plugin that is confined, and every program that it starts, reads, writes and
// executes no file but those of its Policy, gains no privilege from a set-user-id
// program, connects to and listens on no TCP port but those of its Policy,
// signals and traces no process that is not confined with it, and connects to no
// abstract unix socket of theirs. What is asked for and the kernel cannot give is
// an error of Start, and the plugin does not run.
//
// # What it does not protect from
//
// Landlock says nothing of UDP, of unix sockets that have a path, of reading a
// file's name, owner and times, and of descriptors that the plugin inherits: its
// standard streams and ExtraFiles. Nothing here limits what the plugin makes the
// host do by its answers, nor processor time and memory unless Policy.Cgroup has
// limits. There are no private mounts: for those, use a Runner. Faults of the
// kernel are not covered, and a plugin that shares its user with the host's other
// programs can still send them files where both may write.
//
// Sources: the kernel's documents userspace-api/landlock, seccomp_filter and
// no_new_privs, namespaces(7), cgroups(7).
package confine

import "os/exec"

// Policy says what a plugin may reach. The zero value lets it run its own
// program, if that is linked statically, use /dev/null, and talk to its host on
// unix sockets.
// A Policy is not changed and may be used by several Starts at once.
type Policy struct {
	// Read are files and directories, with all below them, that the plugin may
	// read and execute. One that is missing is an error.
	Read []string
	// Write are files and directories, with all below them, that the plugin may
	// read, change, make and remove, and not execute. Devices cannot be made.
	Write []string

	// ConnectTCP and ListenTCP are the TCP ports of whatever address that the
	// plugin may connect to and listen on. A plugin that serves its host on
	// TCP listens on one of host.Config's MinPort to MaxPort.
	ConnectTCP, ListenTCP []uint16
	// AllowTCP leaves TCP alone. It is needed before Linux 6.7, and on
	// architectures other than amd64 and arm64.
	//
	// Unless it is set the plugin cannot have sockets of MPTCP, which Landlock
	// takes for something other than TCP, nor io_uring, which makes sockets
	// behind the back of seccomp.
	AllowTCP bool
	// AllowSignals lets the plugin signal processes that are not confined with
	// it, and connect to their abstract unix sockets. It is needed before
	// Linux 6.12.
	AllowSignals bool

	// Namespaces are those that the plugin gets for its own.
	Namespaces Namespaces
	// Cgroup is the directory of a control group (version 2) that the plugin is
	// started in, so that the group's limits hold from its first instruction.
	// Making it, setting its limits and removing it is the caller's. Empty means
	// the host's own.
	Cgroup string
}

// Namespaces is a set of namespaces: see namespaces(7).
type Namespaces uint

const (
	// User gives the plugin a user namespace, with the host's user and group
	// and no others. It lets users other than root have the namespaces below;
	// for a host that runs as root it is an error. The plugin may then read
	// and write files below /proc as far as their permissions go, since the
	// kernel is told there who the user is.
	User Namespaces = 1 << iota
	// PID hides all processes but the plugin's own, which end with it. The
	// plugin is process 1 there: a signal that it does not handle is ignored,
	// SIGKILL aside.
	PID
	// IPC hides System V and POSIX message queues and shared memory.
	IPC
	// Network leaves the plugin without network. Unix sockets that have a path
	// still work.
	Network

	allNamespaces = User | PID | IPC | Network
)

// Start starts cmd confined, in place of cmd.Start: it is for host.Config's
// StartCmd. socketDir is the directory in which the plugin makes its sockets; it
// is added to what the plugin may write.
//
// The descriptors of cmd are inherited whatever the Policy says.
func (p *Policy) Start(cmd *exec.Cmd, socketDir string) error { return p.start(cmd, socketDir) }

// Libraries returns where programs that are not linked statically find their
// libraries on this machine, for Policy.Read.
func Libraries() []string { return libraries() }
