// Code generated from testdata/interop/upstream/host.go by generate.sh. DO NOT EDIT.

package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/tenonrpc/tenon/plugin/interop-old/upstream/richgrpc"
	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/cases/richpb"
)

// Host is cases.Host on go-plugin and grpc-go.
type Host struct {
	cmd    *exec.Cmd
	client *plugin.Client
	proto  plugin.ClientProtocol
	*dispensed
	stdout, stderr *cases.Output
	log            *cases.Output
}

var _ cases.Host = (*Host)(nil)

// Start starts the rich plugin of a program. log gets what the library and the
// plugin log.
func Start(autoMTLS bool, log io.Writer, program string, args ...string) (*Host, error) {
	return StartIn(cases.Mode{AutoMTLS: autoMTLS}, log, program, args...)
}

// StartIn is Start with a choice of modes; see Modes.
func StartIn(mode cases.Mode, log io.Writer, program string, args ...string) (*Host, error) {
	return StartSetup(cases.Setup{}, mode, log, program, args...)
}

// StartSetup is StartIn with a setup, whose arguments come after args.
func StartSetup(setup cases.Setup, mode cases.Mode, log io.Writer, program string, args ...string) (*Host, error) {
	h := &Host{
		cmd:    exec.Command(program, append(slices.Clip(args), setup.Args()...)...),
		stdout: new(cases.Output), stderr: new(cases.Output), log: new(cases.Output),
	}
	config := &plugin.ClientConfig{
		HandshakeConfig:  Handshake,
		Cmd:              h.cmd,
		AutoMTLS:         mode.AutoMTLS,
		StartTimeout:     cases.Timeout,
		SyncStdout:       h.stdout,
		SyncStderr:       h.stderr,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:           hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: io.MultiWriter(log, h.log)}),
	}
	if setup.HostVersions == nil {
		config.Plugins = sets([]int{cases.ProtocolVersion}, nil)[cases.ProtocolVersion]
	} else {
		config.VersionedPlugins = sets(setup.HostVersions, nil)
	}
	var err error
	if config.TLSConfig, err = setup.TLSConfig(); err != nil {
		return nil, err
	}
	setMultiplex(config, mode.Multiplex)
	setGroup(config, setup.Group)
	h.client = plugin.NewClient(config)
	if _, err = h.client.Start(); err == nil {
		if setup.BeforeConnect != nil {
			setup.BeforeConnect()
		}
		h.proto, err = h.client.Client()
	}
	if err == nil {
		var raw any
		if raw, err = h.proto.Dispense(cases.PluginName); err == nil {
			h.dispensed = raw.(*dispensed)
			return h, nil
		}
	}
	h.client.Kill()
	return nil, err
}

// WithMetadata adds request metadata.
func (h *Host) WithMetadata(ctx context.Context, md cases.MD) context.Context {
	return metadata.NewOutgoingContext(ctx, metadata.MD(md))
}

// Status takes an error of a call apart.
func (h *Host) Status(err error) cases.Status { return StatusOf(err) }

// Echo calls the method of that name.
func (h *Host) Echo(ctx context.Context, in *richpb.EchoRequest) (out *richpb.EchoReply, header, trailer cases.MD, err error) {
	var head, trail metadata.MD
	out, err = h.rich.Echo(ctx, in, grpc.Header(&head), grpc.Trailer(&trail))
	return out, cases.MD(head), cases.MD(trail), err
}

// Fail calls the method of that name.
func (h *Host) Fail(ctx context.Context, in *richpb.FailRequest) error {
	_, err := h.rich.Fail(ctx, in)
	return err
}

// Print calls the method of that name.
func (h *Host) Print(ctx context.Context, in *richpb.PrintRequest) error {
	_, err := h.rich.Print(ctx, in)
	return err
}

// Log calls the method of that name.
func (h *Host) Log(ctx context.Context, in *richpb.LogRequest) error {
	_, err := h.rich.Log(ctx, in)
	return err
}

// Count calls the method of that name.
func (h *Host) Count(ctx context.Context, in *richpb.CountRequest) (cases.NumberReceiver, error) {
	return h.rich.Count(ctx, in)
}

// Sum calls the method of that name.
func (h *Host) Sum(ctx context.Context) (cases.SumStream, error) { return h.rich.Sum(ctx) }

// chatStream gives the stream the metadata that every library has.
type chatStream struct{ richgrpc.Rich_ChatClient }

func (s chatStream) HeaderMD() (cases.MD, error) {
	md, err := s.Header()
	return cases.MD(md), err
}

func (s chatStream) TrailerMD() cases.MD { return cases.MD(s.Trailer()) }

// Chat calls the method of that name.
func (h *Host) Chat(ctx context.Context) (cases.ChatStream, error) {
	s, err := h.rich.Chat(ctx)
	return chatStream{s}, err
}

// Hold calls the method of that name.
func (h *Host) Hold(ctx context.Context, in *richpb.HoldRequest) (cases.NoteReceiver, error) {
	return h.rich.Hold(ctx, in)
}

// Released calls the method of that name.
func (h *Host) Released(ctx context.Context, in *richpb.HoldRequest) (*richpb.Note, error) {
	return h.rich.Released(ctx, in)
}

// CallBack calls the method of that name.
func (h *Host) CallBack(ctx context.Context, in *richpb.CallBackRequest) (*richpb.Note, error) {
	return h.rich.CallBack(ctx, in)
}

// Offer calls the method of that name.
func (h *Host) Offer(ctx context.Context) (uint32, error) {
	out, err := h.rich.Offer(ctx, &richpb.Note{})
	return out.GetBrokerId(), err
}

// Missing calls a method that the plugin does not have.
func (h *Host) Missing(ctx context.Context) error {
	return h.conn.Invoke(ctx, cases.MissingMethod, &richpb.Note{}, &richpb.Note{})
}

// Ping asks the health service.
func (h *Host) Ping(context.Context) error { return h.proto.Ping() }

// ServeMirror serves a Mirror on the host's end of the broker.
func (h *Host) ServeMirror(context.Context) (uint32, func(), error) {
	id, stop := serveMirror(h.broker, "host")
	return id, stop, nil
}

// DialMirror reaches the plugin's Mirror.
func (h *Host) DialMirror(_ context.Context, id uint32) (cases.Mirror, func(), error) {
	return dialMirror(h.broker, id)
}

// Stdout is what came over the stdio service.
func (h *Host) Stdout() *cases.Output { return h.stdout }

// Stderr is what came over the stdio service.
func (h *Host) Stderr() *cases.Output { return h.stderr }

// Logged waits for a line of hclog's.
func (h *Host) Logged(ctx context.Context, in *richpb.LogRequest) error {
	return h.log.WaitLine(ctx, "["+in.GetLevel()+"]", ": "+in.GetMessage()+": ", " "+in.GetKey()+"="+in.GetValue())
}

// Version returns the version agreed on, and that of the set.
func (h *Host) Version() (agreed, dispensed int) { return h.client.NegotiatedVersion(), h.version }

// Socket returns what the plugin has printed.
func (h *Host) Socket() (network, address string) {
	addr := h.client.ReattachConfig().Addr
	return addr.Network(), addr.String()
}

// Abandon kills the plugin, for when the library does not come back.
func (h *Host) Abandon() { h.cmd.Process.Kill() }

// Stop ends the plugin. Upstream's Kill says nothing about how that went; the
// exit status of the process does.
func (h *Host) Stop(context.Context) error {
	h.client.Kill()
	if !h.client.Exited() {
		return errors.New("the plugin has not exited")
	}
	if state := h.cmd.ProcessState; state != nil && !state.Success() {
		return fmt.Errorf("the plugin ended with %v", state)
	}
	return nil
}
