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
// executes no file of any file system but those of its Policy, changes the mode,
// owner, times and attributes of none that it has not opened, gains no privilege
// from a set-user-id program and makes none, makes no sockets but unix ones and
// those that its Policy allows, connects to and binds no TCP port but those of its
// Policy, signals and traces no process that is not confined with it, connects to
// no abstract unix socket of theirs, changes no other process's limits and
// priority, reads no keys, and types nothing into a terminal. What is asked for and
// the kernel cannot give is an error of Start, and the plugin does not run. Programs
// for another architecture than the host's, which its kernel may run as well, fail
// at their first system call.
//
// # What it does not protect from
//
// Landlock says nothing of unix sockets that have a path, and of descriptors that
// the plugin inherits: its standard streams and ExtraFiles. Nothing here limits what
// the plugin makes the host do by its answers, nor processor time and memory unless
// Policy.Cgroup has limits. There are no private mounts: for those, use a Runner.
// Faults of the kernel are not covered, and a plugin that shares its user with the
// host's other programs can still send them files where both may write.
//
// Also open, and what closes it:
//
//   - Executing what the plugin brings along or writes itself: memfd_create(2) makes
//     files that are in no file system, and a loader or an interpreter of its Policy
//     runs what it can read. It is confined as the plugin is, and does nothing that
//     the plugin could not. The sysctl vm.memfd_noexec=2 refuses such files, to the
//     host as well.
//   - Shared memory, semaphores and message queues of System V, and POSIX message
//     queues, as far as their modes go: Namespaces.IPC.
//   - The names, owners, sizes and times of all files below directories that the
//     plugin's user can pass, and by inotify(7) who uses them when: another user, who
//     cannot pass them, or a Runner's mounts.
//   - Scheduling: sched_setaffinity(2), sched_setscheduler(2) and sched_setattr(2)
//     on other processes of its user's. They take ids of threads, which programs
//     give them for their own: Namespaces.PID, which hides the others, or another
//     user.
//   - With Policy.Cgroup, or UseCgroupFD, children that the plugin makes in its
//     host's name by clone3(2), which starting it needs and whose flags lie in memory.
//     They stay as zombies until the host ends: Namespaces.PID, or the group's
//     pids.max.
//
// A plugin that runs as root keeps root's capabilities for all that is neither a
// file nor above: it loads modules into the kernel, which is the end of every
// restriction, and changes the network's addresses, routes and filters. Start it
// as another user, by SysProcAttr.Credential.
//
// # Files' modes, owners, times and attributes
//
// Landlock is not asked when these change. The seccomp filter refuses:
//
//   - chmod(2), chown(2), utime(2), setxattr(2), removexattr(2), file_setattr(2) and
//     all of their kind that take a path: Policy.AllowMetadata; EPERM without.
//     Calls that take a descriptor stay, futimens(3) among them. They need a file
//     that was opened, so that Landlock was asked, but be it for reading: a file
//     that the plugin's user owns should be in Policy.Read, or be the plugin's
//     program, only if the plugin may give rights to it to others. The same goes
//     for files that it inherits.
//   - The bits of set-user-id and set-group-id in the modes of chmod(2) and
//     fchmod(2), open(2), creat(2) and mknod(2), whatever the Policy says: EPERM.
//     With one, a program that the plugin wrote would run as the plugin's user,
//     unconfined, for whoever starts it.
//   - open(2) with access mode 3, for neither reading nor writing, about which
//     Landlock is not asked: EPERM.
//   - openat2(2), whose arguments lie in memory: ENOSYS. Programs use openat(2) then.
//
// A plugin of this library gives its socket a mode by a descriptor. If its host has a
// Sockets.Group, to which it gives the socket, that does not do, and it ends with an
// error unless there is AllowMetadata. Other programs fail without it in Policy.Write
// too, if they name the file whose mode they set: os.Chmod, chmod(1), install(1), git(1).
//
// # Other processes
//
// The seccomp filter refuses, whatever the Policy says:
//
//   - prlimit64(2) with another process than 0, the caller; setpriority(2) and
//     ioprio_set(2) with anything but PRIO_PROCESS and 0. A limit of the host's is
//     its end. Getting the limits of others is refused as well: EPERM.
//   - keyctl(2) and add_key(2), for the keys that all of the user's programs share:
//     ENOSYS, as for request_key(2).
//   - clone(2) with CLONE_PARENT, which makes children of the host's that it does not
//     know: EPERM. clone3(2): ENOSYS, whereupon programs use clone(2), but see above
//     for Policy.Cgroup.
//
// # Ways to the network and to the terminal that Landlock does not see
//
// Closed by the seccomp filter, whatever the Policy says:
//
//   - Raw sockets, those of AF_PACKET, AF_XDP, AF_VSOCK, AF_SMC and of every other
//     family but AF_UNIX, AF_INET and AF_INET6, of SCTP, of UDP-Lite and of ping:
//     EACCES. So are those of netlink, but for NETLINK_ROUTE, which programs ask
//     for the network's interfaces.
//   - io_uring, which makes sockets without system calls, and request_key(2), by
//     which the kernel has a helper resolve names: ENOSYS.
//   - bpf(2), by which root sends frames and redirects connections, and fsopen(2),
//     by which it has the kernel connect to file servers: EPERM.
//   - System calls of other architectures, and those for 32-bit pointers: ENOSYS.
//   - ioctl(2) with TIOCSTI and TIOCLINUX, which type into a terminal: EPERM.
//   - setns(2), if Policy.Namespaces has any: EPERM. Root could go back by it.
//
// Only with a field of Policy:
//
//   - Sockets of TCP: ConnectTCP, ListenTCP or AllowTCP; EACCES without. Ports are
//     Landlock's, which is asked at connect(2) and bind(2), with
//     TCP_FASTOPEN_CONNECT, TCP_REPAIR, IP_TRANSPARENT and SO_REUSEPORT as well.
//     Connecting to an address of AF_UNSPEC disconnects and no more.
//   - Listening without bind(2), on a port of the system's choice: ListenTCP with
//     port 0, or AllowTCP. Nothing restricts it once there are sockets of TCP, so
//     a Policy that has other ports must have that one too.
//   - Fast open, by which sendto(2), sendmsg(2) and sendmmsg(2) connect: AllowTCP;
//     EOPNOTSUPP without.
//   - Upper layers on sockets of TCP (TCP_ULP), of which "smc" makes the socket
//     one of another kind and "tls" has the kernel encrypt: AllowTCP; ENOPROTOOPT
//     without.
//   - MPTCP: AllowTCP; EPROTONOSUPPORT where there is TCP without it.
//   - UDP, all of its ports: AllowUDP; EACCES without.
//   - The host's standard input: Stdin; /dev/null without. With it the plugin reads
//     what the user types, writes to the terminal, whose answers to some escape
//     sequences look typed, and changes its settings.
//
// Open:
//
//   - Unix sockets that have a path: whatever listens on one that the plugin's user
//     may write to, a container daemon's or a name service's, may reach the
//     network for it. The plugin's user decides, or mounts of a Runner.
//   - Descriptors that are inherited, or received on a unix socket: they do what
//     they can already. Landlock still asks for the ports of TCP.
//   - Looking for a name below an automounter's directory, which may ask the network
//     for it, and whatever else other programs do when a plugin touches a file, or
//     crashes.
//   - As root: routes and rules that send a connection to an allowed port elsewhere
//     (NETLINK_ROUTE, setsockopt(2) of iptables), and modules of the kernel's. On a
//     Linux console that is its standard input, root also changes what keys type.
//
// There is no filter on architectures other than amd64 and arm64: all of this is
// open there but for what Landlock does, raw sockets and the terminal included, as
// are files' modes and other processes' limits, and Start is an error unless AllowTCP,
// AllowUDP and AllowMetadata are all set.
//
// Sources: the kernel's documents userspace-api/landlock, seccomp_filter and
// no_new_privs, its security/landlock/net.c and fs.c; namespaces(7), cgroups(7),
// tcp(7), ioctl_tty(2), open(2), inode(7), prlimit(2), clone(2), keyrings(7).
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
	// TCP listens on one of the ports from MinPort to MaxPort of host.Sockets.
	//
	// Port 0 in ListenTCP stands for the ports that the system chooses, which
	// are net.ipv4.ip_local_port_range. It must be there if either has any port:
	// listen(2) without bind(2) takes such a port, and nothing can refuse that to
	// a plugin which has sockets of TCP. With neither it has none, and no MPTCP
	// with either.
	ConnectTCP, ListenTCP []uint16
	// AllowTCP leaves TCP alone, MPTCP included. It is needed before Linux 6.7,
	// and on architectures other than amd64 and arm64.
	AllowTCP bool
	// AllowUDP lets the plugin have sockets of UDP, to all ports: those of names'
	// servers, for example. It is needed on architectures other than amd64 and
	// arm64, where it lets it have all other sockets as well.
	AllowUDP bool
	// AllowSignals lets the plugin signal processes that are not confined with
	// it, and connect to their abstract unix sockets. It is needed before
	// Linux 6.12.
	AllowSignals bool

	// AllowMetadata lets the plugin change by path the modes, owners, times and
	// extended attributes, access control lists among them, of every file of its
	// user's, wherever it is: nothing restricts that to directories. A plugin that
	// calls os.Chmod, os.Chown or os.Chtimes needs it, for files in Write too;
	// without, there are the methods of os.File. So does one whose host has a
	// Sockets.Group. It is needed on architectures other than amd64 and arm64.
	AllowMetadata bool

	// Namespaces are those that the plugin gets for its own.
	Namespaces Namespaces
	// Cgroup is the directory of a control group (version 2) that the plugin is
	// started in, so that the group's limits hold from its first instruction.
	// Making it, setting its limits and removing it is the caller's. Empty means
	// the host's own. A plugin whose user may write to another group's
	// cgroup.procs, as root may, can start processes there: clone(2),
	// CLONE_INTO_CGROUP. That call stays open to the plugin, and with it
	// CLONE_PARENT, by which it makes children of the host's.
	Cgroup string

	// Stdin lets the plugin inherit the host's standard input, which may be the
	// user's terminal. Without, a Cmd.Stdin that is os.Stdin, as it is for a
	// host.Config whose Cmd names none, becomes /dev/null. Any other file was
	// asked for, and stays.
	Stdin bool
}

// Namespaces is a set of namespaces: see namespaces(7).
type Namespaces uint

const (
	// User gives the plugin a user namespace, with the host's user and group
	// and no others. It lets users other than root have the namespaces below;
	// for a host that runs as root it is an error. The plugin may then read
	// and write files below /proc as far as their permissions go, since the
	// kernel is told there who the user is: those of the user's other processes
	// too, oom_score_adj and autogroup for example.
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
// The descriptors of cmd are inherited whatever the Policy says, but for os.Stdin.
// SysProcAttr.Pdeathsig is an error: the thread that starts the plugin ends at once.
func (p *Policy) Start(cmd *exec.Cmd, socketDir string) error { return p.start(cmd, socketDir) }

// Libraries returns where programs that are not linked statically find their
// libraries on this machine, for Policy.Read.
func Libraries() []string { return libraries() }
