// Package grpcbridge lets code that was written for grpc-go work on h2grpc: unchanged
// stubs of protoc-gen-go-grpc, which may be in another module, and interceptors and
// stats handlers such as those of go-grpc-middleware and OpenTelemetry. It is a
// module of its own, so that programs without grpc-go do not download it.
//
// A stub takes a [ClientConn], and a Register…Server function a [Registrar]:
//
//	conn := grpcbridge.NewClient(cc, nil) // cc is an *h2grpc.ClientConn
//	defer conn.Close()
//	health := healthpb.NewHealthClient(conn)
//
//	healthpb.RegisterHealthServer(grpcbridge.NewRegistrar(server, nil), impl)
//
// Both may be used beside services and stubs of h2grpc on the same connection: both
// are gRPC, and the other end cannot tell them apart.
//
// What the two libraries keep under different keys is carried over: a status with its
// details ([GRPCError], [H2Error]), and the metadata and the peer in a context
// ([GRPCContext], [H2Context]). Deadlines and cancellation belong to the context
// itself and need nothing.
//
// # What grpc-go does and this package does not
//
// Messages are proto.Messages or h2grpc.Messages: grpc-go's codecs, its PreparedMsg
// and messages of the first protobuf API are not supported. A call option without
// support fails the call with UNIMPLEMENTED and an error that names it; see
// [ClientConn]. The text of an error is h2grpc's: in the message of its status,
// control characters and line ends are escaped, and it is cut after 4 KiB; the
// message itself, which grpc-go's status.Convert returns, is as it was sent.
// Resolvers, balancers, service configurations and retries of grpc-go need its own
// ClientConn; the retries of go-grpc-middleware are an interceptor and work.
package grpcbridge
