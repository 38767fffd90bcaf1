package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"

	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
)

// reflectionCase is a command of grpcurl and what its output has to have, line
// by line, besides the rest.
type reflectionCase struct {
	name string
	args []string // before the address
	verb []string // after it
	want []string
}

// reflectionCases need the plugin's schema, which grpcurl has from reflection
// alone. The later ones need the value that an earlier one has put.
var reflectionCases = []reflectionCase{
	{"list", nil, []string{"list"}, []string{
		"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
		"plugin.GRPCBroker", "plugin.GRPCController", "plugin.GRPCStdio", "tenon.kv.v1.KV",
	}},
	{"list the methods of a service", nil, []string{"list", "tenon.kv.v1.KV"}, []string{"tenon.kv.v1.KV.Get", "tenon.kv.v1.KV.GetAll", "tenon.kv.v1.KV.Watch"}},
	{"describe the broker", nil, []string{"describe", "plugin.GRPCBroker"}, []string{
		"service GRPCBroker {", "rpc StartStream ( stream .plugin.ConnInfo ) returns ( stream .plugin.ConnInfo );"}},
	{"describe the broker's message", nil, []string{"describe", "plugin.ConnInfo"}, []string{"uint32 service_id = 1;", "string network = 2;", "string address = 3;"}},
	{"describe the control service", nil, []string{"describe", "plugin.GRPCController"}, []string{"rpc Shutdown ( .plugin.Empty ) returns ( .plugin.Empty );"}},
	{"describe the output service", nil, []string{"describe", "plugin.GRPCStdio"}, []string{"rpc StreamStdio ( .google.protobuf.Empty ) returns ( stream .plugin.StdioData );"}},
	{"describe the health service", nil, []string{"describe", "grpc.health.v1.Health"}, []string{
		"rpc Check ( .grpc.health.v1.HealthCheckRequest ) returns ( .grpc.health.v1.HealthCheckResponse );"}},
	{"describe the application's service", nil, []string{"describe", "tenon.kv.v1.KV"}, []string{
		"rpc Get ( .tenon.kv.v1.GetRequest ) returns ( .tenon.kv.v1.GetResponse );",
		"rpc Watch ( .tenon.kv.v1.WatchRequest ) returns ( stream .tenon.kv.v1.WatchResponse );"}},
	{"describe the application's message", nil, []string{"describe", "tenon.kv.v1.PutRequest"}, []string{"string key = 1;", "bytes value = 2;"}},
	{"call KV's Put", []string{"-d", `{"key":"k","value":"dmFsdWU="}`}, []string{"tenon.kv.v1.KV/Put"}, []string{"{}"}},
	{"call KV's Get", []string{"-d", `{"key":"k"}`}, []string{"tenon.kv.v1.KV/Get"}, []string{`"value": "dmFsdWU="`}},
	{"call a stream, KV's GetAll", []string{"-d", `{"key":"k"} {"key":"other"}`}, []string{"tenon.kv.v1.KV/GetAll"}, []string{`"value": "dmFsdWU="`}},
	{"call the health service", []string{"-d", `{"service":"plugin"}`}, []string{"grpc.health.v1.Health/Check"}, []string{`"status": "SERVING"`}},
}

// reflectionJudges have grpcurl look at a plugin.
func reflectionJudges() []judge {
	return []judge{{name: "grpcurl", what: "grpcurl v1.9.4, by reflection, our plugin", want: len(reflectionCases), run: grpcurl}}
}

func grpcurl(ctx context.Context, b *bench, l *log) (verdict, error) {
	v := verdict{total: len(reflectionCases)}
	p, err := b.startPlugin(ctx, l)
	if err != nil {
		return v, err
	}
	var errs []error
	for _, c := range reflectionCases {
		args := append([]string{b.program("grpcurl"), "-plaintext"}, c.args...)
		out, code, err := l.output(ctx, append(append(args, p.addr.String()), c.verb...)...)
		switch missing := missingLines(out, c.want); {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
		case code != 0:
			errs = append(errs, fmt.Errorf("%s: exit status %d; the output is in %s", c.name, code, l.path))
		case len(missing) > 0:
			errs = append(errs, fmt.Errorf("%s: the output lacks %q:\n%s", c.name, missing, out))
		default:
			v.passed++
		}
	}
	return v, errors.Join(append(errs, p.stop())...)
}

// missingLines returns which of the wanted lines a text has not, whatever stands
// before them and a comma after them.
func missingLines(text string, want []string) (missing []string) {
	have := map[string]bool{}
	for line := range strings.Lines(text) {
		have[strings.TrimSuffix(strings.TrimSpace(line), ",")] = true
	}
	for _, w := range want {
		if !have[w] {
			missing = append(missing, w)
		}
	}
	return missing
}

// relayedPlugin is the example plugin, with a relay before it: a plugin takes
// connections of its host alone, and that is this process.
type relayedPlugin struct {
	cmd     *exec.Cmd
	out     *os.File
	lis     net.Listener
	addr    net.Addr
	relayed sync.WaitGroup
}

// startPlugin starts the example plugin as a host does that has no certificate.
func (b *bench) startPlugin(ctx context.Context, l *log) (*relayedPlugin, error) {
	cmd := exec.CommandContext(ctx, b.program("kvplugin"))
	cmd.Env = append(os.Environ(), "KV_PLUGIN=keys-and-values", "PLUGIN_PROTOCOL_VERSIONS=1")
	cmd.Stderr = l
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = write
	err = cmd.Start()
	write.Close()
	if err != nil {
		read.Close()
		return nil, err
	}
	p := &relayedPlugin{cmd: cmd, out: read}
	out := bufio.NewReader(read)
	line, err := out.ReadBytes('\n')
	handshake, perr := hostwire.ParseHandshake(line)
	if err == nil {
		err = perr
	}
	if err == nil {
		p.lis, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the plugin's first line %q: %w", line, err), p.stop())
	}
	p.addr = p.lis.Addr()
	p.relayed.Go(func() { io.Copy(io.Discard, out) })
	p.relayed.Go(func() {
		for {
			nc, err := p.lis.Accept()
			if err != nil {
				return
			}
			p.relayed.Go(func() { relay(nc, handshake.Network, handshake.Address) })
		}
	})
	return p, nil
}

// relay connects nc with an address until either end is over.
func relay(nc net.Conn, network, addr string) {
	defer nc.Close()
	to, err := net.Dial(network, addr)
	if err != nil {
		return
	}
	back := make(chan struct{})
	go func() {
		defer close(back)
		io.Copy(nc, to)
		nc.Close()
	}()
	io.Copy(to, nc)
	to.Close()
	<-back
}

// stop ends the plugin and the relay.
func (p *relayedPlugin) stop() error {
	if p.lis != nil {
		p.lis.Close()
	}
	p.cmd.Process.Kill()
	p.cmd.Wait()
	p.relayed.Wait()
	return p.out.Close()
}
