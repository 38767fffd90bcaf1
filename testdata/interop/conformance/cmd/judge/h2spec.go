package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// h2specdJudges run h2specd against our client, with the cases that h2spec calls
// strict.
func h2specdJudges() []judge {
	return []judge{
		{name: "h2specd", what: "h2specd v2.2.1 strict, client, plaintext", want: clientCases, others: "best known 48", run: h2specd(false), slow: true},
		{name: "h2specd-tls", what: "h2specd v2.2.1 strict, client, TLS", want: clientCases, run: h2specd(true), slow: true},
	}
}

// h2specJudges run h2spec against our server, strict likewise.
func h2specJudges() []judge {
	return []judge{
		{name: "h2spec", what: "h2spec v2.2.1 strict, server, plaintext", want: serverCases, others: "net/http 141, grpc-go 114", run: h2spec(false)},
		{name: "h2spec-tls", what: "h2spec v2.2.1 strict, server, TLS", want: serverCases, run: h2spec(true)},
	}
}

// The numbers of cases of h2spec and h2specd.
const (
	serverCases = 146
	clientCases = 57
)

var h2specCounts = regexp.MustCompile(`(?m)^(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed`)

func h2spec(secure bool) func(context.Context, *bench, *log) (verdict, error) {
	return func(ctx context.Context, b *bench, l *log) (verdict, error) {
		d, err := b.ownServer(ctx, l, secure)
		if err != nil {
			return verdict{}, err
		}
		defer d.stop()
		args := []string{b.program("h2spec"), "--strict", "--host", "127.0.0.1", "--port", strconv.Itoa(d.addr.Port)}
		if secure {
			args = append(args, "--tls", "--insecure")
		}
		return l.h2specVerdict(ctx, args)
	}
}

func h2specd(secure bool) func(context.Context, *bench, *log) (verdict, error) {
	return func(ctx context.Context, b *bench, l *log) (verdict, error) {
		port, err := freePorts(clientCases)
		if err != nil {
			return verdict{}, err
		}
		args := []string{b.program("h2specd"), "--strict", "--host", "127.0.0.1",
			"--from-port", strconv.Itoa(port), "--exec", b.program("h2specd-client")}
		if secure {
			args = append(args, "--tls", "--cert-file", b.cert, "--cert-key-file", b.key)
		}
		return l.h2specVerdict(ctx, args)
	}
}

// h2specVerdict runs h2spec or h2specd and reads what it counted.
func (l *log) h2specVerdict(ctx context.Context, args []string) (verdict, error) {
	out, _, err := l.output(ctx, args...)
	if err != nil {
		return verdict{}, err
	}
	m := h2specCounts.FindStringSubmatch(out)
	if m == nil {
		return verdict{}, fmt.Errorf("nothing was counted:\n%s", tail(out))
	}
	v := verdict{passed: number(m[2]), total: number(m[1]), notes: []string{"skipped: " + m[3]}}
	if v.passed != v.total {
		_, failures, _ := strings.Cut(out, "Failures:")
		failures, _, _ = strings.Cut(failures, "Finished in")
		return v, fmt.Errorf("cases failed or were skipped:\n%s", strings.TrimSpace(failures))
	}
	return v, nil
}

// ownServer starts our server of gRPC's interoperability tests, which prints
// where it listens.
func (b *bench) ownServer(ctx context.Context, l *log, secure bool) (*daemon, error) {
	cmd := exec.CommandContext(ctx, b.program("interop-server"))
	if secure {
		cmd.Args = append(cmd.Args, "-cert", b.cert, "-key", b.key)
	}
	cmd.Stderr = l
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	d := &daemon{cmd: cmd, ended: make(chan struct{})}
	line, readErr := bufio.NewReader(out).ReadString('\n')
	go func() {
		cmd.Wait()
		close(d.ended)
	}()
	d.addr, err = net.ResolveTCPAddr("tcp", strings.TrimSpace(line))
	if readErr != nil || err != nil {
		d.stop()
		return nil, fmt.Errorf("interop-server printed %q and not its address", line)
	}
	return d, nil
}

// freePorts finds n free ports in a row and returns the first. Nothing keeps
// them free, but they are below those that systems give out.
func freePorts(n int) (first int, err error) {
	const lowest, highest = 20000, 32000
	start := lowest + int(time.Now().UnixNano()/1000)%(highest-lowest-n)
	for first = start; first < highest; first++ {
		if allFree(first, n) {
			return first, nil
		}
	}
	return 0, fmt.Errorf("there are no %d free ports in a row between %d and %d", n, start, highest)
}

func allFree(first, n int) bool {
	for port := first; port < first+n; port++ {
		lis, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return false
		}
		lis.Close()
	}
	return true
}
