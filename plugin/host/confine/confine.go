// Package confine starts plugins with fewer rights than their host, on Linux, by means
// that the kernel offers to every user: no new privileges, a Landlock ruleset, a seccomp
// filter, namespaces and a control group.
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
// A confined plugin, and every program that it starts, is restricted as follows:
//
//   - It reads, writes and executes files of its Policy only, on any file system.
//   - It changes the mode, owner, times and attributes only of files that it has
//     opened.
//   - It gains no privilege from a set-user-id program, and makes none.
//   - It makes no sockets except unix ones and those that its Policy allows, and
//     connects to and binds no TCP ports except those of its Policy.
//   - It signals and traces only processes that are confined with it, and connects to
//     no abstract unix socket of others.
//   - It does not change other processes' limits and priorities, reads no keys, and
//     cannot type into a terminal.
//
// If the Policy asks for something that the kernel cannot enforce, Start returns an
// error and the plugin does not run. Programs for another architecture than the host's,
// which its kernel may support too, fail at their first system call.
//
// # What it does not protect from
//
// Landlock does not restrict unix sockets that have a path, nor descriptors that the
// plugin inherits: its standard streams and ExtraFiles. Nothing here limits what the
// plugin makes the host do by its answers, nor processor time and memory unless
// Policy.Cgroup has limits. There are no private mounts: for those, use a Runner.
// Kernel bugs are not covered, and a plugin that runs as the same user as the host's
// other programs can still pass files to them where both may write.
//
// The following is also open; each entry ends with what closes it:
//
//   - Executing code that the plugin brings along or writes itself: memfd_create(2)
//     makes files that are in no file system, and a loader or an interpreter of its
//     Policy runs what it can read. Such code is confined like the plugin, and can do
//     nothing that the plugin could not. The sysctl vm.memfd_noexec=2 refuses such
//     files, for the host as well.
//   - Shared memory, semaphores and message queues of System V, and POSIX message
//     queues, as far as their modes allow: Namespaces.IPC.
//   - The names, owners, sizes and times of all files below directories that the
//     plugin's user can search, and by inotify(7) when they are used: another user, who
//     cannot search them, or a Runner's mounts.
//   - Scheduling: sched_setaffinity(2), sched_setscheduler(2) and sched_setattr(2) on
//     other processes of the same user. The filter cannot refuse them, since they take
//     thread ids and programs use them on their own threads: Namespaces.PID, which
//     hides the others, or another user.
//   - With Policy.Cgroup, or UseCgroupFD: children that the plugin makes as its host's,
//     by clone3(2), which starting the plugin needs and whose flags are in memory. They
//     stay as zombies until the host ends: Namespaces.PID, or the group's pids.max.
//
// A plugin that runs as root keeps root's capabilities, except where files or the above
// are concerned: it can load kernel modules, which ends every restriction, and change
// the network's addresses, routes and filters. Start it as another user, with
// SysProcAttr.Credential.
//
// # Files' modes, owners, times and attributes
//
// Landlock does not check changes of these. The seccomp filter refuses:
//
//   - chmod(2), chown(2), utime(2), setxattr(2), removexattr(2), file_setattr(2) and
//     all calls of their kind that take a path: EPERM, unless Policy.AllowMetadata is
//     set. Calls that take a descriptor remain, futimens(3) among them. They require an
//     opened file, so Landlock was asked, but perhaps for reading only: if the plugin's
//     user owns a file, put it in Policy.Read, or run it as the plugin's program, only
//     if the plugin may give others rights to it. The same goes for files that the
//     plugin inherits.
//   - The set-user-id and set-group-id bits in the modes of chmod(2), fchmod(2),
//     open(2), creat(2) and mknod(2), whatever the Policy says: EPERM. With such a bit,
//     a program that the plugin wrote would run as the plugin's user, unconfined, for
//     whoever starts it.
//   - open(2) with access mode 3, for neither reading nor writing, which Landlock does
//     not check: EPERM.
//   - openat2(2), whose arguments are in memory: ENOSYS. Programs then use openat(2).
//
// A plugin of this library sets its socket's mode by a descriptor. If its host has a
// Sockets.Group, to which it gives the socket, that does not suffice, and it ends with
// an error unless AllowMetadata is set. Other programs too fail without it, even in
// Policy.Write, if they set a file's mode by its name: os.Chmod, chmod(1), install(1),
// git(1).
//
// # Other processes
//
// The seccomp filter refuses, whatever the Policy says:
//
//   - prlimit64(2) with another process than 0, the caller; setpriority(2) and
//     ioprio_set(2) with anything but PRIO_PROCESS and 0: EPERM. A limit set on the
//     host could end it. Reading the limits of others is refused as well.
//   - keyctl(2) and add_key(2), for the keys that all of the user's programs share:
//     ENOSYS, as for request_key(2).
//   - clone(2) with CLONE_PARENT, which makes children of the host that the host does
//     not know: EPERM. clone3(2): ENOSYS; programs then use clone(2). See above for the
//     exception with Policy.Cgroup.
//
// # Ways to the network and to the terminal that Landlock does not see
//
// Closed by the seccomp filter, whatever the Policy says:
//
//   - Raw sockets, those of AF_PACKET, AF_XDP, AF_VSOCK, AF_SMC and of every other
//     family except AF_UNIX, AF_INET and AF_INET6, of SCTP, of UDP-Lite and of ping:
//     EACCES. The same goes for those of netlink, except NETLINK_ROUTE, which programs
//     ask for the network's interfaces.
//   - io_uring, which makes sockets without system calls, and request_key(2), by which
//     the kernel has a helper resolve names: ENOSYS.
//   - bpf(2), by which root sends frames and redirects connections, and fsopen(2), by
//     which root makes the kernel connect to file servers: EPERM.
//   - System calls of other architectures, and those for 32-bit pointers: ENOSYS.
//   - ioctl(2) with TIOCSTI and TIOCLINUX, which type into a terminal: EPERM.
//   - setns(2), if Policy.Namespaces has any: EPERM. Root could return to the host's.
//
// Open only with a field of Policy:
//
//   - Sockets of TCP: ConnectTCP, ListenTCP or AllowTCP; EACCES without. Ports are
//     checked by Landlock, in connect(2) and bind(2), also with TCP_FASTOPEN_CONNECT,
//     TCP_REPAIR, IP_TRANSPARENT and SO_REUSEPORT. Connecting to an address of
//     AF_UNSPEC only disconnects.
//   - Listening without bind(2), on a port that the system chooses: ListenTCP with port
//     0, or AllowTCP. Nothing restricts this for a plugin with TCP sockets, so a Policy
//     that has other ports must have port 0 too.
//   - Fast open, by which sendto(2), sendmsg(2) and sendmmsg(2) connect: AllowTCP;
//     EOPNOTSUPP without.
//   - Upper layers on TCP sockets (TCP_ULP), of which "smc" makes the socket one of
//     another kind and "tls" makes the kernel encrypt: AllowTCP; ENOPROTOOPT without.
//   - MPTCP: AllowTCP; EPROTONOSUPPORT if only TCP ports are allowed.
//   - UDP, all of its ports: AllowUDP; EACCES without.
//   - The host's standard input: Stdin; /dev/null without. With it the plugin reads
//     what the user types, writes to the terminal, whose answers to some escape
//     sequences look typed, and changes its settings.
//
// Open:
//
//   - Unix sockets that have a path: whatever listens on one that the plugin's user may
//     write to, such as a container daemon's or a name service's, may reach the network
//     for the plugin. The plugin's user decides this, or a Runner's mounts.
//   - Descriptors that are inherited, or received on a unix socket: they can do what
//     they already could. Landlock still checks the ports of TCP.
//   - Looking up a name below an automounter's directory, which may query the network,
//     and whatever else other programs do when a plugin touches a file or crashes.
//   - As root: routes and rules that redirect a connection to an allowed port
//     (NETLINK_ROUTE, setsockopt(2) of iptables), and kernel modules. If a Linux
//     console is its standard input, root also changes what keys type.
//
// On architectures other than amd64 and arm64 there is no filter: all of this is open
// there except for what Landlock restricts, raw sockets and the terminal included, as
// are files' modes and other processes' limits. Start returns an error there unless
// AllowTCP, AllowUDP and AllowMetadata are all set.
//
// Sources: the kernel's documents userspace-api/landlock, seccomp_filter and
// no_new_privs, its security/landlock/net.c and fs.c; namespaces(7), cgroups(7),
// tcp(7), ioctl_tty(2), open(2), inode(7), prlimit(2), clone(2), keyrings(7).
package confine

import "os/exec"

// Policy describes what a plugin may reach. The zero value lets it run its own program,
// if that is linked statically, use /dev/null, and talk to its host on unix sockets. A
// Policy is not changed and may be used by several Starts at once.
type Policy struct {
	// Read lists files and directories, with everything below them, that the plugin may
	// read and execute. A path that does not exist is an error.
	Read []string
	// Write lists files and directories, with everything below them, that the plugin
	// may read, change, make and remove, but not execute. Devices cannot be made. A
	// path that does not exist is an error.
	Write []string

	// ConnectTCP and ListenTCP are the TCP ports, of any address, that the plugin may
	// connect to and listen on. A plugin that serves its host on TCP listens on one of
	// the ports from MinPort to MaxPort of host.Sockets.
	//
	// Port 0 in ListenTCP stands for the ports that the system chooses,
	// net.ipv4.ip_local_port_range. It is required if either field has a port:
	// listen(2) without bind(2) takes such a port, and nothing can refuse that to a
	// plugin which has TCP sockets. If both fields are empty the plugin has no TCP
	// sockets; it has no MPTCP in either case.
	ConnectTCP, ListenTCP []uint16
	// AllowTCP leaves TCP unrestricted, MPTCP included. It is required before Linux
	// 6.7, and on architectures other than amd64 and arm64.
	AllowTCP bool
	// AllowUDP lets the plugin have UDP sockets, to all ports: for DNS, for example. It
	// is required on architectures other than amd64 and arm64, where the plugin then
	// has all other sockets as well.
	AllowUDP bool
	// AllowSignals lets the plugin signal processes that are not confined with it, and
	// connect to their abstract unix sockets. It is required before Linux 6.12.
	AllowSignals bool

	// AllowMetadata lets the plugin change, by path, the modes, owners, times and
	// extended attributes (access control lists included) of every file of its user,
	// anywhere: nothing restricts that to directories. A plugin that calls os.Chmod,
	// os.Chown or os.Chtimes needs it, for files in Write too; the methods of os.File
	// work without it. A plugin whose host has a Sockets.Group needs it as well. It is
	// required on architectures other than amd64 and arm64.
	AllowMetadata bool

	// Namespaces are the namespaces that the plugin gets for its own.
	Namespaces Namespaces
	// Cgroup is the directory of a control group (version 2) in which the plugin is
	// started, so that the group's limits hold from its first instruction. The caller
	// makes it, sets its limits and removes it. Empty means the host's own group. A
	// plugin whose user may write to another group's cgroup.procs, as root may, can
	// start processes there: clone(2), CLONE_INTO_CGROUP. That call remains available
	// to the plugin, and with it CLONE_PARENT, by which it makes children of the host.
	Cgroup string

	// Stdin lets the plugin inherit the host's standard input, which may be the user's
	// terminal. Without it, a Cmd.Stdin that is os.Stdin becomes /dev/null; this
	// includes a host.Config whose Cmd has none. Any other file was chosen by the
	// caller and is inherited.
	Stdin bool
}

// Namespaces is a set of namespaces: see namespaces(7).
type Namespaces uint

const (
	// User gives the plugin a user namespace that has the host's user and group and no
	// others. It lets users other than root have the namespaces below; for a host that
	// runs as root it is an error. The plugin may then read and write files below /proc
	// as far as their permissions allow, since the kernel learns there who the user is:
	// also those of the user's other processes, oom_score_adj and autogroup for
	// example.
	User Namespaces = 1 << iota
	// PID hides all processes except the plugin's own, which end with it. The plugin is
	// process 1 there: a signal that it does not handle is ignored, except SIGKILL.
	PID
	// IPC hides System V and POSIX message queues and shared memory.
	IPC
	// Network leaves the plugin without network. Unix sockets that have a path
	// still work.
	Network

	allNamespaces = User | PID | IPC | Network
)

// Start starts cmd confined, instead of cmd.Start: it is for StartCmd of host.Config.
// socketDir is the directory in which the plugin makes its sockets; the plugin may
// write to it in addition to Write.
//
// The descriptors of cmd are inherited whatever the Policy says, except os.Stdin.
// SysProcAttr.Pdeathsig is an error, since the thread that starts the plugin ends at
// once. On systems other than Linux, Start returns an error.
func (p *Policy) Start(cmd *exec.Cmd, socketDir string) error { return p.start(cmd, socketDir) }

// Libraries returns the paths where programs that are not linked statically find their
// libraries on this machine, for Policy.Read. It returns nil on systems other than
// Linux.
func Libraries() []string { return libraries() }
