package grpcbridge

import (
	"fmt"
	"reflect"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcmetadata "google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// callOptions is the sum of the grpc.CallOptions of one call.
type callOptions struct {
	h2 []h2grpc.CallOption

	// What is filled, or called, when the call has ended.
	headers, trailers []*grpcmetadata.MD
	peers             []*grpcpeer.Peer
	finish            []func(error)
}

// newOptions translates opts. The error is that of the first option without support;
// the options that report the end of the call are all there nevertheless.
func newOptions(opts []grpc.CallOption) (*callOptions, error) {
	o := new(callOptions)
	var failed error
	for _, opt := range opts {
		if err := o.add(opt); err != nil && failed == nil {
			failed = err
		}
	}
	return o, failed
}

// add translates one option.
func (o *callOptions) add(opt grpc.CallOption) error {
	switch opt := opt.(type) {
	case nil, grpc.EmptyCallOption, *grpc.EmptyCallOption:
	case grpc.HeaderCallOption:
		o.headers = append(o.headers, opt.HeaderAddr)
	case grpc.TrailerCallOption:
		o.trailers = append(o.trailers, opt.TrailerAddr)
	case grpc.PeerCallOption:
		o.peers = append(o.peers, opt.PeerAddr)
	case grpc.OnFinishCallOption:
		o.finish = append(o.finish, opt.OnFinish)
	case grpc.FailFastCallOption:
		o.h2 = append(o.h2, h2grpc.WaitForReady(!opt.FailFast))
	case grpc.StaticMethodCallOption:
		o.h2 = append(o.h2, h2grpc.StaticMethod())
	case grpc.MaxRecvMsgSizeCallOption:
		if opt.MaxRecvMsgSize <= 0 {
			return refused(fmt.Sprintf("MaxCallRecvMsgSize(%d)", opt.MaxRecvMsgSize), "h2grpc has no limit of zero bytes")
		}
		o.h2 = append(o.h2, h2grpc.MaxCallRecvMsgSize(opt.MaxRecvMsgSize))
	case grpc.MaxSendMsgSizeCallOption:
		if opt.MaxSendMsgSize <= 0 {
			return refused(fmt.Sprintf("MaxCallSendMsgSize(%d)", opt.MaxSendMsgSize), "h2grpc has no limit of zero bytes")
		}
		o.h2 = append(o.h2, h2grpc.MaxCallSendMsgSize(opt.MaxSendMsgSize))
	case grpc.CompressorCallOption:
		name := opt.CompressorType
		if name == "identity" {
			name = ""
		}
		o.h2 = append(o.h2, h2grpc.UseCompressor(name))
	case grpc.ContentSubtypeCallOption:
		if opt.ContentSubtype != "proto" {
			return refused(fmt.Sprintf("CallContentSubtype(%q)", opt.ContentSubtype), "h2grpc sends protobuf messages only")
		}
	case grpc.PerRPCCredsCallOption:
		return refused("PerRPCCredentials", "h2grpc has no credentials per call; put them into outgoing metadata")
	case grpc.AuthorityOverrideCallOption:
		return refused("CallAuthority", "all calls of an h2grpc.ClientConn have the authority of its configuration")
	case grpc.ForceCodecCallOption:
		return refused("ForceCodec", "h2grpc sends protobuf messages only")
	case grpc.ForceCodecV2CallOption:
		return refused("ForceCodecV2", "h2grpc sends protobuf messages only")
	case grpc.CustomCodecCallOption:
		return refused("CallCustomCodec", "h2grpc sends protobuf messages only")
	case grpc.MaxRetryRPCBufferSizeCallOption:
		return refused("MaxRetryRPCBufferSize", "h2grpc has no buffer for retries")
	default:
		return o.addEmbedded(opt)
	}
	return nil
}

// addEmbedded translates an option of another package, such as one that is meant for
// an interceptor. The methods of grpc.CallOption are not exported, so a type has them
// only by embedding one of grpc-go's options, whose effect it has.
func (o *callOptions) addEmbedded(opt grpc.CallOption) error {
	v := reflect.Indirect(reflect.ValueOf(opt))
	if v.Kind() == reflect.Struct && v.Type().PkgPath() != reflect.TypeFor[grpc.EmptyCallOption]().PkgPath() {
		for i := range v.NumField() {
			if f := v.Type().Field(i); !f.Anonymous || !f.IsExported() {
				continue
			}
			if inner, ok := v.Field(i).Interface().(grpc.CallOption); ok {
				return o.add(inner)
			}
		}
	}
	return refused(fmt.Sprintf("%T", opt), "grpcbridge does not know it")
}

func refused(option, why string) error {
	return status.Errorf(codes.Unimplemented, "grpcbridge: the call option %s cannot be honoured: %s", option, why)
}

// ended fills the variables of the options, each with a copy of its own. As with
// grpc-go, trailers are always set, and headers only if the server has sent some.
func (o *callOptions) ended(header, trailer metadata.MD, p *grpcpeer.Peer) {
	for _, md := range o.headers {
		if *md = nil; header != nil {
			*md = grpcmetadata.MD(header.Copy())
		}
	}
	for _, md := range o.trailers {
		*md = grpcmetadata.MD(trailer.Copy())
	}
	if p != nil {
		for _, to := range o.peers {
			*to = *p
		}
	}
}

// tell calls the functions that want to know of the end. They may use the call's
// stream.
func (o *callOptions) tell(err error) {
	for _, f := range o.finish {
		f(err)
	}
}
