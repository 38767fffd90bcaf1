package tenonside

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/peer"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/cases/richpb"
	"github.com/tenonrpc/tenon/plugin/interop/cases/tenonside/richh2grpc"
)

// Host is cases.Host on this library.
type Host struct {
	client *host.Client
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

// StartIn is Start with a choice of modes.
func StartIn(mode cases.Mode, log io.Writer, program string, args ...string) (*Host, error) {
	return StartSetup(cases.Setup{}, mode, log, program, args...)
}

// StartSetup is StartIn with a setup, whose arguments come after args.
func StartSetup(setup cases.Setup, mode cases.Mode, log io.Writer, program string, args ...string) (*Host, error) {
	ctx, cancel := context.WithTimeout(context.Background(), cases.Timeout)
	defer cancel()
	h := &Host{stdout: new(cases.Output), stderr: new(cases.Output), log: new(cases.Output)}
	config := &host.Config{
		Handshake:         Handshake,
		Cmd:               exec.Command(program, append(slices.Clip(args), setup.Args()...)...),
		InsecurePlaintext: !mode.AutoMTLS && setup.TLS == "",
		Multiplex:         mode.Multiplex,
		Sockets:           host.Sockets{Group: setup.Group},
		Env:               raceEnv(),
		Output:            host.Output{Stdout: h.stdout, Stderr: h.stderr},
		Logger:            slog.New(slog.NewTextHandler(io.MultiWriter(log, h.log), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if setup.HostVersions == nil {
		config.Plugins = Plugins
	} else {
		config.Versions = sets(setup.HostVersions, nil)
	}
	if setup.BeforeConnect != nil {
		var once sync.Once
		config.Sockets.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			once.Do(setup.BeforeConnect)
			return new(net.Dialer).DialContext(ctx, network, address)
		}
	}
	var err error
	if config.TLS, err = setup.TLSConfig(); err != nil {
		return nil, err
	}
	if h.client, err = host.Start(ctx, config); err != nil {
		return nil, err
	}
	if h.dispensed, err = host.Dispense[*dispensed](ctx, h.client, cases.PluginName); err != nil {
		h.client.Close()
		return nil, err
	}
	return h, nil
}

// raceEnv passes the race detector's settings on to the plugin: by default a
// program waits a second before it exits, and go-plugin's hosts give a plugin
// two for all that it has to do.
func raceEnv() []string {
	if race := os.Getenv("GORACE"); race != "" {
		return []string{"GORACE=" + race}
	}
	return nil
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
	out, err = h.rich.Echo(ctx, in, h2grpc.Header(&head), h2grpc.Trailer(&trail))
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
type chatStream struct{ richh2grpc.Rich_ChatClient }

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
func (h *Host) Ping(ctx context.Context) error { return h.client.Ping(ctx) }

// ServeMirror serves a Mirror on the host's end of the broker.
func (h *Host) ServeMirror(context.Context) (uint32, func(), error) {
	ctx, stop := context.WithCancel(context.Background())
	id, err := serveMirror(ctx, h.broker, "host")
	return id, stop, err
}

// DialMirror reaches the plugin's Mirror.
func (h *Host) DialMirror(ctx context.Context, id uint32) (cases.Mirror, func(), error) {
	return dialMirror(ctx, h.broker, id)
}

// Stdout is what came over the stdio service.
func (h *Host) Stdout() *cases.Output { return h.stdout }

// Stderr is what came over the stdio service.
func (h *Host) Stderr() *cases.Output { return h.stderr }

// Logged waits for a line of slog's.
func (h *Host) Logged(ctx context.Context, in *richpb.LogRequest) error {
	return h.log.WaitLine(ctx, "level="+in.GetLevel()+" ", "msg="+strconv.Quote(in.GetMessage())+" ",
		" "+in.GetKey()+"="+in.GetValue())
}

// Version returns the version agreed on, and that of the set.
func (h *Host) Version() (agreed, dispensed int) { return h.client.Version(), h.version }

// Socket asks a connection. An address that cannot be learned is empty.
func (h *Host) Socket() (network, address string) {
	ctx, cancel := context.WithTimeout(context.Background(), cases.Timeout)
	defer cancel()
	var p peer.Peer
	if _, err := h.rich.Echo(ctx, &richpb.EchoRequest{}, h2grpc.Peer(&p)); err != nil || p.Addr == nil {
		return "", ""
	}
	return p.Addr.Network(), p.Addr.String()
}

// Stop ends the plugin. It fails unless the plugin ended by itself.
func (h *Host) Stop(ctx context.Context) error { return h.client.Shutdown(ctx) }
