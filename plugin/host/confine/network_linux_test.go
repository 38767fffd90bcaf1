package confine_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/tenonrpc/tenon/plugin/host/confine"
)

// numbers are the numbers of system calls, which package syscall does not have for all
// architectures.
var numbers = map[string]struct{ socket, connect, socketpair, sendto, sendmsg, sendmmsg, setsockopt, requestKey, bpf, setns uintptr }{
	"amd64": {41, 42, 53, 44, 46, 307, 54, 249, 321, 308},
	"arm64": {198, 203, 199, 206, 211, 269, 208, 218, 280, 268},
}[runtime.GOARCH]

const (
	solTCP, tcpRepair, tcpFastOpenConnect, tcpULP = 6, 19, 30, 31
	solSocket, soReusePort                        = 1, 15
	solIP, ipTransparent                          = 0, 19
	ioUringSetup, fsopen                          = 425, 430
)

// networkAttempts are attempts to reach the network, each in its own way.
var networkAttempts = map[string]func(arg string) error{
	"new": func(arg string) error {
		n := parse(arg)
		fd, _, errno := syscall.RawSyscall(numbers.socket, n[0], n[1], n[2])
		return result(fd, errno)
	},
	"pair": func(arg string) error {
		n, pair := parse(arg), [2]int32{-1, -1}
		_, _, errno := syscall.RawSyscall6(numbers.socketpair, n[0], n[1], n[2], uintptr(unsafe.Pointer(&pair)), 0, 0)
		return result(uintptr(pair[0]), errno)
	},
	"fastopen": func(arg string) error {
		how, address, _ := strings.Cut(arg, " ")
		return fastOpen(how, address)
	},
	"barelisten": func(string) error {
		return withTCP(func(fd int) error { return syscall.Listen(fd, 1) })
	},
	"connect": func(arg string) error {
		option, address, _ := strings.Cut(arg, " ")
		return withTCP(func(fd int) error {
			if err := setOption(fd, option); err != nil {
				return err
			}
			return syscall.Connect(fd, sockaddr(address))
		})
	},
	"bind": func(arg string) error {
		option, address, _ := strings.Cut(arg, " ")
		return withTCP(func(fd int) error {
			if err := setOption(fd, option); err != nil {
				return err
			}
			return syscall.Bind(fd, sockaddr(address))
		})
	},
	// Data for an address given to send(2), on a socket whose connecting to an
	// allowed port was put off.
	"elsewhere": func(arg string) error {
		allowed, address, _ := strings.Cut(arg, " ")
		return withTCP(func(fd int) error {
			if err := errors.Join(setOption(fd, "fastopen"), syscall.Connect(fd, sockaddr(allowed))); err != nil {
				return err
			}
			syscall.Sendto(fd, []byte("elsewhere"), syscall.MSG_NOSIGNAL, sockaddr(address))
			return nil
		})
	},
	"unspec": func(address string) error {
		return withTCP(func(fd int) error {
			raw := rawSockaddr(address)
			binary.NativeEndian.PutUint16(raw[:], syscall.AF_UNSPEC)
			if _, _, errno := syscall.Syscall(numbers.connect, uintptr(fd), uintptr(unsafe.Pointer(&raw)), unsafe.Sizeof(raw)); errno != 0 {
				return errno
			}
			_, err := syscall.Write(fd, []byte("unspec"))
			return err
		})
	},
	"ulp": func(arg string) error {
		high := parse(arg)[0]
		name := []byte("smc")
		return withTCP(func(fd int) error {
			_, _, errno := syscall.Syscall6(numbers.setsockopt, uintptr(fd), high|solTCP, high|tcpULP, uintptr(unsafe.Pointer(&name[0])), uintptr(len(name)), 0)
			return result(^uintptr(0), errno)
		})
	},
	"udp": func(address string) error {
		c, err := net.Dial("udp", address)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write([]byte("hello")); err != nil {
			return err
		}
		b := make([]byte, 100)
		n, err := c.Read(b)
		if err == nil && string(b[:n]) != "hello" {
			err = fmt.Errorf("the answer is %q", b[:n])
		}
		return err
	},
	"uring": func(string) error {
		_, _, errno := syscall.RawSyscall(ioUringSetup, 0, 0, 0)
		return result(^uintptr(0), errno)
	},
	"x32": func(string) error {
		fd, _, errno := syscall.RawSyscall(0x40000000|numbers.socket, syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		return result(fd, errno)
	},
	"key": func(string) error {
		kind, name, callout := []byte("user\x00"), []byte("tn-confine\x00"), []byte("x\x00")
		_, _, errno := syscall.RawSyscall6(numbers.requestKey, uintptr(unsafe.Pointer(&kind[0])), uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(&callout[0])), 0, 0, 0)
		return result(^uintptr(0), errno)
	},
	"bpf": func(string) error {
		_, _, errno := syscall.RawSyscall(numbers.bpf, ^uintptr(0), 0, 0)
		return result(^uintptr(0), errno)
	},
	"fsopen": func(string) error {
		name := []byte("tmpfs\x00")
		fd, _, errno := syscall.RawSyscall(fsopen, uintptr(unsafe.Pointer(&name[0])), 0, 0)
		return result(fd, errno)
	},
	"setns": func(string) error {
		f, err := os.Open("/proc/self/ns/net")
		if err != nil {
			return err
		}
		defer f.Close()
		_, _, errno := syscall.RawSyscall(numbers.setns, f.Fd(), 0, 0)
		return result(^uintptr(0), errno)
	},
}

// parse returns the numbers of an attempt, cut to what the machine's words hold.
func parse(arg string) (out []uintptr) {
	for field := range strings.FieldsSeq(arg) {
		n, err := strconv.ParseUint(field, 0, 64)
		if err != nil {
			panic(err)
		}
		out = append(out, uintptr(n))
	}
	return out
}

// result closes what was opened, if anything, and returns errno as an error.
func result(fd uintptr, errno syscall.Errno) error {
	if errno != 0 {
		return errno
	}
	syscall.Close(int(fd))
	return nil
}

func withTCP(f func(fd int) error) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer syscall.Close(fd)
	return f(fd)
}

func sockaddr(address string) *syscall.SockaddrInet4 {
	a := netip.MustParseAddrPort(address)
	return &syscall.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}

// rawSockaddr is a struct sockaddr_in.
func rawSockaddr(address string) (raw [16]byte) {
	to := sockaddr(address)
	binary.NativeEndian.PutUint16(raw[:], syscall.AF_INET)
	binary.BigEndian.PutUint16(raw[2:], uint16(to.Port))
	copy(raw[4:], to.Addr[:])
	return raw
}

func setOption(fd int, name string) error {
	option, ok := map[string][2]int{"fastopen": {solTCP, tcpFastOpenConnect}, "repair": {solTCP, tcpRepair}, "transparent": {solIP, ipTransparent}, "reuseport": {solSocket, soReusePort}}[name]
	if !ok {
		return nil
	}
	if err := syscall.SetsockoptInt(fd, option[0], option[1], 1); err != nil {
		return fmt.Errorf("setting %s: %w", name, err)
	}
	return nil
}

// fastOpen sends to an address without connecting, by a system call. "high" sets bits
// that the kernel ignores.
func fastOpen(how, address string) error {
	name, high := strings.CutSuffix(how, "-high")
	flags := uint64(syscall.MSG_FASTOPEN | syscall.MSG_NOSIGNAL)
	if high {
		flags |= 1 << 40
	}
	text, to := []byte(how), rawSockaddr(address)
	vector := syscall.Iovec{Base: &text[0]}
	vector.SetLen(len(text))
	var message struct {
		header syscall.Msghdr
		length uint32
	}
	message.header = syscall.Msghdr{Name: &to[0], Namelen: uint32(len(to)), Iov: &vector, Iovlen: 1}
	return withTCP(func(fd int) error {
		var errno syscall.Errno
		switch name {
		case "sendto":
			_, _, errno = syscall.Syscall6(numbers.sendto, uintptr(fd), uintptr(unsafe.Pointer(&text[0])), uintptr(len(text)), uintptr(flags), uintptr(unsafe.Pointer(&to)), unsafe.Sizeof(to))
		case "sendmsg":
			_, _, errno = syscall.Syscall(numbers.sendmsg, uintptr(fd), uintptr(unsafe.Pointer(&message)), uintptr(flags))
		case "sendmmsg":
			_, _, errno = syscall.Syscall6(numbers.sendmmsg, uintptr(fd), uintptr(unsafe.Pointer(&message)), 1, uintptr(flags), 0, 0)
		}
		return result(^uintptr(0), errno)
	})
}

const (
	unsupported = "operation not supported"
	notMultiple = "protocol not supported"
	notAllowed  = "operation not permitted"
	noSuchCall  = "function not implemented"
)

// eachUser runs a test as the current user and, if that is root, as an ordinary user.
func eachUser(t *testing.T, test func(t *testing.T, command func() *exec.Cmd)) {
	t.Run("self", func(t *testing.T) { test(t, self) })
	if os.Getuid() == 0 {
		t.Run("ordinary", func(t *testing.T) { test(t, ordinary(t)) })
	}
}

// The kernel's own refusals have other errors: it refuses no family with EACCES, and
// raw sockets to ordinary users with EPERM.
func TestSockets(t *testing.T) {
	never := []string{
		"new 2 3 6", "new 2 3 255", "new 10 3 58", "new 2 10 0", "new 2 0x80003 6", // raw, SOCK_PACKET
		"new 17 3 0x300", "new 17 2 0", "new 40 1 0", "new 44 3 0", "new 43 1 0", "new 38 5 0", "new 30 1 0", "new 0 1 0", // packet, vsock, xdp, smc, alg, tipc
		"new 2 1 132", "new 2 5 132", "new 2 6 33", "new 2 2 136", "new 2 2 1", "new 10 2 58", // SCTP, DCCP, UDP-Lite, ping
		"new 16 3 4", "new 16 3 9", "new 16 3 12", "new 16 3 16", // netlink: sock_diag, audit, netfilter, generic
		"new 0x100000011 3 0x300", "new 0x100000002 0x100000003 0x100000006", "new 16 3 0x100000010",
		"pair 30 1 0", "pair 2 1 0", "pair 0x10000001e 1 0",
	}
	always := []string{"new 1 1 0", "new 1 2 0", "new 1 3 0", "new 1 0x80801 0", "new 0x100000001 1 0", "new 16 3 0", "new 16 2 0x100000000", "pair 1 1 0", "pair 0x100000001 2 0"}
	tcp, udp := []string{"new 2 1 0", "new 2 0x80801 6", "new 0x100000002 0x100000001 0x100000006"}, []string{"new 2 2 0", "new 2 0x80802 17"}
	mptcp := []string{"new 2 1 262", "new 10 1 262", "new 2 1 0x100000106"}
	if _, err := os.Stat("/proc/net/if_inet6"); err == nil {
		tcp, udp = append(tcp, "new 10 1 0", "new 10 1 6"), append(udp, "new 10 2 0", "new 10 2 17")
	}
	eachUser(t, func(t *testing.T, command func() *exec.Cmd) {
		free := outcomes(t, command(), (*exec.Cmd).Start, mptcp[:2]...)
		for _, tt := range []struct {
			name            string
			policy          confine.Policy
			tcp, udp, mptcp string
		}{
			{"nothing", confine.Policy{}, denied, denied, denied},
			{"ports", confine.Policy{ConnectTCP: []uint16{443}, ListenTCP: []uint16{0}}, "done", denied, notMultiple},
			{"UDP", confine.Policy{AllowUDP: true}, denied, "done", denied},
			{"ports and UDP", confine.Policy{ListenTCP: []uint16{0}, AllowUDP: true}, "done", "done", notMultiple},
			{"all of TCP", confine.Policy{AllowTCP: true}, "done", denied, free[0]},
			{"both", confine.Policy{AllowTCP: true, AllowUDP: true}, "done", "done", free[0]},
		} {
			t.Run(tt.name, func(t *testing.T) {
				var lines, wanted []string
				add := func(group []string, outcome string) {
					lines, wanted = append(lines, group...), append(wanted, slices.Repeat([]string{outcome}, len(group))...)
				}
				add(never, denied)
				add(always, "done")
				add(tcp, tt.tcp)
				add(udp, tt.udp)
				add(mptcp, tt.mptcp)
				start := func(cmd *exec.Cmd) error { return own(tt.policy).Start(cmd, "") }
				want(t, lines, outcomes(t, command(), start, lines...), wanted)
			})
		}
	})
}

// receiver returns a listener's address, and a function which returns what was
// received on it since.
func receiver(t *testing.T) (string, func() []string) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String(), func() (out []string) {
		// Connections are accepted in their order: ours is the last.
		last, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(last, "last")
		last.Close()
		for {
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(c)
			c.Close()
			if string(b) == "last" {
				return out
			}
			out = append(out, string(b))
		}
	}
}

func port(address string) uint16 { return netip.MustParseAddrPort(address).Port() }

func TestTCP(t *testing.T) {
	address, received := receiver(t)
	lines := []string{"dial " + address, "listen 127.0.0.1:0", "listen :0", "barelisten"}
	eachUser(t, func(t *testing.T, command func() *exec.Cmd) {
		for _, tt := range []struct {
			policy confine.Policy
			want   []string
		}{
			{confine.Policy{}, []string{denied, denied, denied, denied}},
			{confine.Policy{AllowUDP: true}, []string{denied, denied, denied, denied}},
			{confine.Policy{ConnectTCP: []uint16{port(address)}, ListenTCP: []uint16{0}}, []string{"done", "done", "done", "done"}},
			{confine.Policy{ConnectTCP: []uint16{port(address) ^ 1}, ListenTCP: []uint16{0}}, []string{denied, "done", "done", "done"}},
			{confine.Policy{AllowTCP: true}, []string{"done", "done", "done", "done"}},
		} {
			start := func(cmd *exec.Cmd) error { return own(tt.policy).Start(cmd, "") }
			want(t, lines, outcomes(t, command(), start, lines...), tt.want)
			if n := len(received()); (n > 0) != (tt.want[0] == "done") {
				t.Errorf("%d connections, and dialing: %s", n, tt.want[0])
			}
		}
	})
}

func TestFastOpen(t *testing.T) {
	address, received := receiver(t)
	ways := []string{"sendto", "sendmsg", "sendmmsg", "sendto-high", "sendmsg-high", "sendmmsg-high"}
	var lines []string
	for _, way := range ways {
		lines = append(lines, "fastopen "+way+" "+address)
	}
	refused := slices.Repeat([]string{unsupported}, len(lines))
	eachUser(t, func(t *testing.T, command func() *exec.Cmd) {
		try := func(p confine.Policy, wanted []string) {
			t.Helper()
			want(t, lines, outcomes(t, command(), func(cmd *exec.Cmd) error { return own(p).Start(cmd, "") }, lines...), wanted)
		}
		try(confine.Policy{ListenTCP: []uint16{0}}, refused)
		try(confine.Policy{ConnectTCP: []uint16{port(address) ^ 1}, ListenTCP: []uint16{0}}, refused)
		try(confine.Policy{}, slices.Repeat([]string{"socket: " + denied}, len(lines)))
		if got := received(); len(got) > 0 {
			t.Errorf("confined plugins have sent %q", got)
		}
		if b, err := os.ReadFile("/proc/sys/net/ipv4/tcp_fastopen"); err != nil || (b[0]-'0')&1 == 0 {
			t.Skip("the system has no fast open: ", err)
		}
		try(confine.Policy{AllowTCP: true}, slices.Repeat([]string{"done"}, len(lines)))
		if got := received(); !slices.Equal(got, ways) {
			t.Errorf("with AllowTCP %q was received, want %q", got, ways)
		}
	})
}

// As the package's documentation says, Landlock checks the port whatever options the
// socket has.
func TestPortsWithOptions(t *testing.T) {
	forbidden, received := receiver(t)
	allowed, _ := receiver(t)
	lines := []string{
		"connect none " + allowed, "connect none " + forbidden, "connect fastopen " + allowed, "connect fastopen " + forbidden,
		"bind none 127.0.0.1:0", "bind none " + forbidden, "bind reuseport " + forbidden,
		"elsewhere " + allowed + " " + forbidden, "unspec " + forbidden,
	}
	wanted := []string{"done", denied, "done", denied, "done", denied, denied, "done", "broken pipe"}
	if os.Getuid() == 0 {
		lines = append(lines, "connect repair "+allowed, "connect repair "+forbidden, "bind repair "+forbidden, "bind transparent "+forbidden)
		wanted = append(wanted, "done", denied, denied, denied)
	}
	policy := confine.Policy{ConnectTCP: []uint16{port(allowed)}, ListenTCP: []uint16{0}}
	want(t, lines, confined(t, own(policy), "", lines...), wanted)
	if got := received(); len(got) > 0 {
		t.Errorf("the forbidden port has received %q", got)
	}
}

func TestUpperLayers(t *testing.T) {
	lines := []string{"ulp 0", "ulp 0x100000000"}
	refused := "protocol not available"
	want(t, lines, confined(t, own(confine.Policy{ListenTCP: []uint16{0}}), "", lines...), []string{refused, refused})
	for i, got := range confined(t, own(confine.Policy{AllowTCP: true}), "", lines...) {
		if strings.Contains(got, refused) {
			t.Errorf("%s with AllowTCP: %s", lines[i], got)
		}
	}
}

func TestUDP(t *testing.T) {
	l, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		b := make([]byte, 100)
		for {
			n, from, err := l.ReadFrom(b)
			if err != nil {
				return
			}
			l.WriteTo(b[:n], from)
		}
	}()
	line := "udp " + l.LocalAddr().String()
	eachUser(t, func(t *testing.T, command func() *exec.Cmd) {
		for _, tt := range []struct {
			policy confine.Policy
			want   string
		}{
			{confine.Policy{}, denied},
			{confine.Policy{AllowTCP: true}, denied},
			{confine.Policy{ConnectTCP: []uint16{port(l.LocalAddr().String())}, ListenTCP: []uint16{0}}, denied},
			{confine.Policy{AllowUDP: true}, "done"},
		} {
			start := func(cmd *exec.Cmd) error { return own(tt.policy).Start(cmd, "") }
			want(t, []string{line}, outcomes(t, command(), start, line), []string{tt.want})
		}
	})
}

func TestInterfaces(t *testing.T) {
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	eachUser(t, func(t *testing.T, command func() *exec.Cmd) {
		start := func(cmd *exec.Cmd) error { return own(confine.Policy{}).Start(cmd, "") }
		want(t, []string{"interfaces"}, outcomes(t, command(), start, "interfaces"), []string{fmt.Sprint(len(all))})
	})
}

// System calls that reach the network or leave the namespaces unseen by Landlock are
// refused with errors other than the kernel's own, except setns.
func TestOtherSystemCalls(t *testing.T) {
	lines := []string{"uring", "key"}
	refused := []string{noSuchCall, noSuchCall}
	if runtime.GOARCH == "amd64" {
		lines, refused = append(lines, "x32"), append(refused, noSuchCall)
	}
	if os.Getuid() == 0 {
		lines, refused = append(lines, "bpf", "fsopen"), append(refused, notAllowed, notAllowed)
	}
	for i, got := range outcomes(t, self(), (*exec.Cmd).Start, lines...) {
		if strings.Contains(got, refused[i]) {
			t.Logf("%s is refused without confinement too: %s", lines[i], got)
		}
	}
	want(t, lines, confined(t, own(confine.Policy{}), "", lines...), refused)
	want(t, lines, confined(t, own(confine.Policy{AllowTCP: true, AllowUDP: true}), "", lines...), refused)
	if os.Getuid() == 0 {
		lines = []string{"setns"}
		want(t, lines, confined(t, own(confine.Policy{}), "", lines...), []string{"done"})
		want(t, lines, confined(t, own(confine.Policy{Namespaces: confine.Network}), "", lines...), []string{notAllowed})
	}
}

// otherArchitecture is a program for amd64 that makes a socket by i386's system
// call. It ends with the negative result, which is an error's number:
//
//	mov eax, 359 (socket); mov ebx, 2; mov ecx, 1; xor edx, edx; int 0x80
//	neg eax; mov edi, eax; mov eax, 60 (exit); syscall
func otherArchitecture() []byte {
	code := []byte("\xb8\x67\x01\x00\x00\xbb\x02\x00\x00\x00\xb9\x01\x00\x00\x00\x31\xd2\xcd\x80\xf7\xd8\x89\xc7\xb8\x3c\x00\x00\x00\x0f\x05")
	const base, headers = 0x400000, 64 + 56
	le := binary.LittleEndian
	b := []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	b = le.AppendUint32(le.AppendUint16(le.AppendUint16(b, 2), 62), 1)            // an executable, x86-64
	b = le.AppendUint64(le.AppendUint64(le.AppendUint64(b, base+headers), 64), 0) // the entry, the program headers
	b = le.AppendUint32(b, 0)                                                     // flags
	for _, n := range []uint16{64, 56, 1, 0, 0, 0} {                              // sizes and numbers of headers
		b = le.AppendUint16(b, n)
	}
	b = le.AppendUint32(le.AppendUint32(b, 1), 5) // loaded, to be read and executed
	size := uint64(headers + len(code))
	for _, n := range []uint64{0, base, base, size, size, 0x1000} {
		b = le.AppendUint64(b, n)
	}
	return append(b, code...)
}

func TestOtherArchitecture(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the program is for amd64")
	}
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, otherArchitecture(), 0o700); err != nil {
		t.Fatal(err)
	}
	status := func(start func(*exec.Cmd) error) int {
		t.Helper()
		cmd := exec.Command(program)
		if err := start(cmd); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		return cmd.ProcessState.ExitCode()
	}
	if free := status((*exec.Cmd).Start); free < 128 {
		t.Skipf("the kernel runs no system calls of i386: status %d", free)
	}
	for _, p := range []confine.Policy{{}, {AllowTCP: true, AllowUDP: true}} {
		if got := status(func(cmd *exec.Cmd) error { return p.Start(cmd, "") }); got != int(syscall.ENOSYS) {
			t.Errorf("%+v: a socket by i386's system call: status %d, want ENOSYS", p, got)
		}
	}
}
