package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"time"
)

// interopCases are the cases of gRPC's interoperability tests that need neither
// Google's cloud nor other services.
var interopCases = []string{
	"empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
	"timeout_on_sleeping_server", "cancel_after_begin", "cancel_after_first_response",
	"status_code_and_message", "special_status_message", "custom_metadata",
	"unimplemented_method", "unimplemented_service", "rpc_soak", "channel_soak",
}

// interopLeftOut is what grpc-go's client has besides.
const interopLeftOut = "left out: cases for Google's cloud, authentication, load balancing and load reports (ORCA)"

// interopJudges run grpc-go's client against our server and our client against
// grpc-go's server.
func interopJudges() []judge {
	n := len(interopCases)
	return []judge{
		{name: "interop-server", what: "grpc-go v1.85.0 client, our server, plaintext", want: n, run: grpcClient(false)},
		{name: "interop-server-tls", what: "grpc-go v1.85.0 client, our server, TLS", want: n, run: grpcClient(true)},
		{name: "interop-client", what: "our client, grpc-go v1.85.0 server, plaintext", want: n, run: grpcServer(false)},
		{name: "interop-client-tls", what: "our client, grpc-go v1.85.0 server, TLS", want: n, run: grpcServer(true)},
	}
}

func grpcClient(secure bool) func(context.Context, *bench, *log) (verdict, error) {
	return func(ctx context.Context, b *bench, l *log) (verdict, error) {
		d, err := b.ownServer(ctx, l, secure)
		if err != nil {
			return verdict{}, err
		}
		defer d.stop()
		args := []string{b.program("grpc-client"), "--server_host=127.0.0.1", "--server_port=" + strconv.Itoa(d.addr.Port)}
		if secure {
			args = append(args, "--use_tls", "--use_test_ca", "--ca_file="+b.cert, "--server_host_override=localhost")
		}
		return l.each(ctx, interopCases, interopLeftOut, func(name string) []string {
			return append(args[:len(args):len(args)], "--test_case="+name)
		})
	}
}

func grpcServer(secure bool) func(context.Context, *bench, *log) (verdict, error) {
	return func(ctx context.Context, b *bench, l *log) (verdict, error) {
		d, err := b.grpcServer(ctx, l, secure)
		if err != nil {
			return verdict{}, err
		}
		defer d.stop()
		args := []string{b.program("interop-client"), "-addr", d.addr.String()}
		if secure {
			args = append(args, "-ca", b.cert)
		}
		return l.each(ctx, interopCases, interopLeftOut, func(name string) []string {
			return append(args[:len(args):len(args)], "-case", name)
		})
	}
}

// each runs a client once a case.
func (l *log) each(ctx context.Context, cases []string, note string, client func(name string) []string) (verdict, error) {
	v := verdict{total: len(cases), notes: []string{note}}
	var errs []error
	for _, name := range cases {
		_, code, err := l.output(ctx, client(name)...)
		switch {
		case err != nil:
			return v, fmt.Errorf("%s: %w", name, err)
		case code != 0:
			errs = append(errs, fmt.Errorf("%s: exit status %d; the output is in %s", name, code, l.path))
		default:
			v.passed++
		}
	}
	return v, errors.Join(errs...)
}

// grpcServer starts grpc-go's server of the interoperability tests.
func (b *bench) grpcServer(ctx context.Context, l *log, secure bool) (*daemon, error) {
	port, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, b.program("grpc-server"), "--port="+strconv.Itoa(port))
	if secure {
		cmd.Args = append(cmd.Args, "--use_tls", "--tls_cert_file="+b.cert, "--tls_key_file="+b.key)
	}
	cmd.Stdout, cmd.Stderr = l, l
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	d := &daemon{cmd: cmd, ended: make(chan struct{}), addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}}
	go func() {
		cmd.Wait()
		close(d.ended)
	}()
	if err := d.listening(); err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

// listening waits until the server takes connections.
func (d *daemon) listening() error {
	const pause = 20 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for range int(startTime / pause) {
		nc, err := net.Dial("tcp", d.addr.String())
		if err == nil {
			return nc.Close()
		}
		select {
		case <-tick.C:
		case <-d.ended:
			return fmt.Errorf("%s ended at once", d.cmd.Path)
		}
	}
	return fmt.Errorf("%s does not listen on %v after %v", d.cmd.Path, d.addr, startTime)
}
