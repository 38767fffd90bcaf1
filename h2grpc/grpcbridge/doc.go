// Package grpcbridge lets code that was written for grpc-go work on h2grpc: stubs
// that protoc-gen-go-grpc wrote, in somebody else's module and unchanged, and
// interceptors and stats handlers such as those of go-grpc-middleware and
// OpenTelemetry. It is a module of its own, so that whoever does without grpc-go
// does not download it.
//
// A stub is given a [ClientConn], and a Register…Server function a [Registrar]:
//
//	conn := grpcbridge.NewClient(cc, nil) // cc is an *h2grpc.ClientConn
//	defer conn.Close()
//	health := healthpb.NewHealthClient(conn)
//
//	healthpb.RegisterHealthServer(grpcbridge.NewRegistrar(server, nil), impl)
//
// Both may stand beside services and stubs of h2grpc on the same connection: what
// travels is gRPC, and nobody at the other end can tell.
//
// What the two libraries keep under keys of their own is carried over: a status
// with its details ([GRPCError], [H2Error]), and the metadata and the peer in a
// context ([GRPCContext], [H2Context]). Deadlines and cancellation are the
// context's own and need nothing.
//
// # What grpc-go does and this does not
//
// Messages are proto.Messages or h2grpc's: grpc-go's codecs, its PreparedMsg and
// messages of the first protobuf API are not known here. A call option that cannot
// be honoured fails the call with UNIMPLEMENTED and is named; see [ClientConn].
// The text of an error is h2grpc's, which has control characters and line ends of a
// status's message escaped and is cut after 4 KiB; the message itself, which
// grpc-go's status.Convert finds, is as it was sent. Resolvers, balancers, service configurations and retries of grpc-go need its own
// ClientConn; the retries of go-grpc-middleware are an interceptor and work.
package grpcbridge
