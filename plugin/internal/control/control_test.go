package control_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/internal/control"
	"github.com/tenonrpc/tenon/wire"
)

func files(t *testing.T) *protoregistry.Files {
	t.Helper()
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(control.Descriptors(), &set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		t.Fatalf("the descriptor set is not complete: %v", err)
	}
	return files
}

// TestDescriptors checks the descriptors against the protocol.
func TestDescriptors(t *testing.T) {
	files := files(t)
	for _, tt := range []struct {
		method         protoreflect.FullName
		input, output  protoreflect.FullName
		client, server bool
	}{
		{control.BrokerService + ".StartStream", "plugin.ConnInfo", "plugin.ConnInfo", true, true},
		{control.ControllerService + ".Shutdown", "plugin.Empty", "plugin.Empty", false, false},
		{control.StdioService + ".StreamStdio", "google.protobuf.Empty", "plugin.StdioData", false, true},
	} {
		d, err := files.FindDescriptorByName(tt.method)
		if err != nil {
			t.Errorf("%s: %v", tt.method, err)
			continue
		}
		m := d.(protoreflect.MethodDescriptor)
		if m.Input().FullName() != tt.input || m.Output().FullName() != tt.output ||
			m.IsStreamingClient() != tt.client || m.IsStreamingServer() != tt.server {
			t.Errorf("%s is (%s) returns (%s), streaming %v, %v", tt.method,
				m.Input().FullName(), m.Output().FullName(), m.IsStreamingClient(), m.IsStreamingServer())
		}
	}
}

func TestNothingRegistered(t *testing.T) {
	for _, name := range []protoreflect.FullName{"plugin.ConnInfo", "plugin.Empty", "plugin.StdioData", control.BrokerService, control.ControllerService, control.StdioService} {
		if _, err := protoregistry.GlobalFiles.FindDescriptorByName(name); !errors.Is(err, protoregistry.NotFound) {
			t.Errorf("%s is registered with protobuf: a program that links go-plugin would not start (%v)", name, err)
		}
	}
}

// TestMessages checks that package wire's messages match the descriptors.
func TestMessages(t *testing.T) {
	files := files(t)
	for _, tt := range []struct {
		name protoreflect.FullName
		text func(protoreflect.Message)
		msg  h2grpc.Message
	}{
		{"plugin.ConnInfo", func(m protoreflect.Message) {
			set(m, "service_id", protoreflect.ValueOfUint32(7))
			set(m, "network", protoreflect.ValueOfString("unix"))
			set(m, "address", protoreflect.ValueOfString("/s"))
			knock := m.Mutable(m.Descriptor().Fields().ByName("knock")).Message()
			set(knock, "knock", protoreflect.ValueOfBool(true))
			set(knock, "ack", protoreflect.ValueOfBool(true))
			set(knock, "error", protoreflect.ValueOfString("no"))
		}, &wire.ConnInfo{ServiceID: 7, Network: "unix", Address: "/s", Knock: &wire.Knock{Knock: true, Ack: true, Error: "no"}}},
		{"plugin.Empty", func(protoreflect.Message) {}, &wire.Empty{}},
		{"plugin.StdioData", func(m protoreflect.Message) {
			set(m, "channel", protoreflect.ValueOfEnum(2))
			set(m, "data", protoreflect.ValueOfBytes([]byte("x")))
		}, &wire.StdioData{Channel: wire.ChannelStderr, Data: []byte("x")}},
	} {
		d, err := files.FindDescriptorByName(tt.name)
		if err != nil {
			t.Fatal(err)
		}
		want := dynamicpb.NewMessage(d.(protoreflect.MessageDescriptor))
		tt.text(want)
		b, err := tt.msg.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		got := want.New().Interface()
		if err := proto.Unmarshal(b, got); err != nil || !proto.Equal(got, want) {
			t.Errorf("wire's %s reads as %v, want %v (%v)", tt.name, got, want, err)
		}
	}
}

func set(m protoreflect.Message, field protoreflect.Name, v protoreflect.Value) {
	m.Set(m.Descriptor().Fields().ByName(field), v)
}

// services is a registrar and an implementation of all three services.
type services struct {
	descs map[string]*h2grpc.ServiceDesc
}

func (s *services) RegisterService(d *h2grpc.ServiceDesc, impl any) { s.descs[d.ServiceName] = d }

func (*services) StartStream(s h2grpc.BidiStreamingServer[wire.ConnInfo, wire.ConnInfo]) error {
	info, err := s.Recv()
	if err != nil {
		return err
	}
	return s.Send(&wire.ConnInfo{ServiceID: info.ServiceID + 1})
}

func (*services) Shutdown(context.Context, *wire.Empty) (*wire.Empty, error) {
	return &wire.Empty{}, errShutdown
}

func (*services) StreamStdio(_ *wire.Empty, s h2grpc.ServerStreamingServer[wire.StdioData]) error {
	return s.Send(&wire.StdioData{Channel: wire.ChannelStdout, Data: []byte("out")})
}

var errShutdown = errors.New("shut down")

// loop is a connection without a network: what a client sends reaches the handler of the
// service, and its answer the client.
type loop struct{ *services }

func (l loop) Invoke(ctx context.Context, method string, args, reply any, _ ...h2grpc.CallOption) error {
	if method != "/plugin.GRPCController/Shutdown" {
		return errors.New("no method " + method)
	}
	d := l.descs[control.ControllerService]
	var intercepted string
	_, err := d.Methods[0].Handler(l.services, ctx, func(any) error { return nil },
		func(ctx context.Context, req any, info *h2grpc.UnaryServerInfo, handler h2grpc.UnaryHandler) (any, error) {
			intercepted = info.FullMethod
			return handler(ctx, req)
		})
	if intercepted != method {
		return errors.New("interceptor saw " + intercepted)
	}
	return err
}

func (l loop) NewStream(ctx context.Context, desc *h2grpc.StreamDesc, method string, _ ...h2grpc.CallOption) (h2grpc.ClientStream, error) {
	for name, d := range l.descs {
		for i := range d.Streams {
			if "/"+name+"/"+d.Streams[i].StreamName == method {
				return &loopStream{srv: l.services, desc: &d.Streams[i]}, nil
			}
		}
	}
	return nil, errors.New("no method " + method)
}

// loopStream collects what the client sends, and runs the handler on it at
// the first receive.
type loopStream struct {
	h2grpc.ClientStream
	srv  any
	desc *h2grpc.StreamDesc
	in   []h2grpc.Message
	out  []h2grpc.Message
	ran  bool
}

func (s *loopStream) CloseSend() error { return nil }

func (s *loopStream) SendMsg(m any) error {
	s.in = append(s.in, m.(h2grpc.Message))
	return nil
}

func (s *loopStream) RecvMsg(m any) error {
	if !s.ran {
		s.ran = true
		if err := s.desc.Handler(s.srv, &loopServer{stream: s}); err != nil {
			return err
		}
	}
	return take(&s.out, m)
}

type loopServer struct {
	h2grpc.ServerStream
	stream *loopStream
}

func (s *loopServer) RecvMsg(m any) error { return take(&s.stream.in, m) }

func (s *loopServer) SendMsg(m any) error {
	s.stream.out = append(s.stream.out, m.(h2grpc.Message))
	return nil
}

func take(queue *[]h2grpc.Message, m any) error {
	if len(*queue) == 0 {
		return io.EOF
	}
	b, err := (*queue)[0].AppendTo(nil)
	if err != nil {
		return err
	}
	*queue = (*queue)[1:]
	return m.(h2grpc.Message).UnmarshalFrom(b)
}

func TestStubs(t *testing.T) {
	s := &services{descs: map[string]*h2grpc.ServiceDesc{}}
	control.RegisterBroker(s, s)
	control.RegisterController(s, s)
	control.RegisterStdio(s, s)
	cc := loop{s}
	ctx := t.Context()

	if err := control.Shutdown(ctx, cc); err != errShutdown {
		t.Errorf("Shutdown: %v", err)
	}
	stdio, err := control.StreamStdio(ctx, cc)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := stdio.Recv(); err != nil || data.Channel != wire.ChannelStdout || string(data.Data) != "out" {
		t.Errorf("StreamStdio: %v, %v", data, err)
	}
	stream, err := control.StartStream(ctx, cc)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&wire.ConnInfo{ServiceID: 1}); err != nil {
		t.Fatal(err)
	}
	if info, err := stream.Recv(); err != nil || info.ServiceID != 2 {
		t.Errorf("StartStream: %v, %v", info, err)
	}
	for _, stream := range []struct {
		desc           h2grpc.StreamDesc
		client, server bool
	}{
		{s.descs[control.BrokerService].Streams[0], true, true},
		{s.descs[control.StdioService].Streams[0], false, true},
	} {
		if stream.desc.ClientStreams != stream.client || stream.desc.ServerStreams != stream.server {
			t.Errorf("%s streams %v, %v", stream.desc.StreamName, stream.desc.ClientStreams, stream.desc.ServerStreams)
		}
	}
}
