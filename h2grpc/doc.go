// Package h2grpc is gRPC over HTTP/2, client and server, on any [net.Conn]. It is
// made for two programs that know each other, such as a host and its plugin: one
// address, one connection, no name resolution and no load balancing. It works with
// every other implementation of gRPC.
//
// Header compression is golang.org/x/net's hpack; messages are protobuf's. What
// peers must do is in gRPC's documents PROTOCOL-HTTP2, statuscodes and
// http-grpc-status-mapping, and in RFC 9113; the code cites them where it follows
// them.
//
// # Generated code
//
// The names are grpc-go's, as far as generated code refers to them.
// cmd/protoc-gen-go-h2grpc, a plugin of protoc, writes stubs for this package (protoc
// --go_out=. --go-h2grpc_out=. kv.proto). Stubs that protoc-gen-go-grpc wrote compile
// once their imports of google.golang.org/grpc, and of the packages codes and status
// below it, are changed to this package and the packages of the same names below it.
// A message is a [proto.Message], or encodes itself as a [Message].
//
// # Client
//
// A [ClientConn] makes calls to one server. It connects on the first call, or in
// [ClientConn.Connect], and again after the connection was lost:
//
//	cc := h2grpc.NewClient(&h2grpc.ClientConfig{
//		Dial: func(ctx context.Context) (net.Conn, error) {
//			var d net.Dialer
//			return d.DialContext(ctx, "unix", path)
//		},
//	})
//	defer cc.Close()
//	kv := kvpb.NewKVClient(cc)
//	entry, err := kv.Get(ctx, &kvpb.GetRequest{Key: "hello"})
//
// A call fails with UNAVAILABLE if no connection can be made; with [WaitForReady] it
// waits for one. A call of which nothing has been sent yet moves to the next
// connection if the current one is going away. A call that the server certainly did
// not process, because it said so with GOAWAY or REFUSED_STREAM, is made once more;
// a streaming call only if nothing but its headers or its only request was sent.
// There are no other retries.
//
// # Server
//
// Services are registered with a [Server] before it serves. Mistakes in the
// registration do not panic; [Server.Serve] returns them:
//
//	s := h2grpc.NewServer(nil)
//	kvpb.RegisterKVServer(s, store) // store embeds kvpb.UnimplementedKVServer
//	err := s.Serve(listener)
//
// [Server.Shutdown] lets the calls in progress finish; [Server.Close] cancels them.
// Both wait for all handlers to return: Shutdown until its context ends, Close for at
// most [CloseTimeout].
//
// # Streams
//
// Generated methods take and return typed streams: a [ServerStreamingClient], a
// [ClientStreamingClient] or a [BidiStreamingClient] on the client, and the interface
// whose name ends in Server in a handler. A client sends with Send, and ends its
// requests with CloseAndRecv or, on a bidirectional stream, CloseSend. A handler ends
// its stream by returning. A client reads until Recv returns an error, which is
// io.EOF after success, or cancels the context of the call; otherwise the stream is
// never freed:
//
//	stream, err := kv.List(ctx, &kvpb.ListRequest{})
//	if err != nil {
//		return err
//	}
//	for {
//		entry, err := stream.Recv()
//		if err == io.EOF {
//			return nil
//		}
//		if err != nil {
//			return err // the status of the call
//		}
//		use(entry)
//	}
//
// # Metadata
//
// A client sends the outgoing metadata of the call's context, and gets the metadata
// of the response from [Header] and [Trailer], or from the methods of the same names
// of a [ClientStream]:
//
//	ctx = metadata.AppendToOutgoingContext(ctx, "token", token)
//	var trailer metadata.MD
//	entry, err := kv.Get(ctx, request, h2grpc.Trailer(&trailer))
//
// A handler finds the metadata of the request with metadata.FromIncomingContext and
// sets that of the response with [SetHeader], [SendHeader] and [SetTrailer], or with
// the methods of a [ServerStream]. Package peer has the address and the TLS state of
// the client; on a client [Peer] has those of the server.
//
// # Deadlines
//
// The deadline of a call's context is sent with the call and holds at both ends: the
// handler's context has it too. A cancelled call resets its stream, which ends the
// handler's context.
//
// # Statuses
//
// A handler's error becomes the status of the call, and the error of a call on the
// client is a status. Package status makes and reads statuses, with details:
//
//	st, err := status.New(codes.ResourceExhausted, "the store is full").
//		WithDetails(&kvpb.Quota{Used: 1000, Allowed: 1000})
//	...
//	return nil, st.Err()
//
//	if status.Code(err) == codes.ResourceExhausted {
//		details := status.Convert(err).Details()
//
// An error without a status is UNKNOWN with its text; the errors of a context are
// CANCELLED and DEADLINE_EXCEEDED. MapError, in both configurations, translates the
// errors of another library. A panic in a handler is logged and becomes UNKNOWN; the
// process goes on. The number of messages is checked at both ends: a number that the
// kind of the method does not allow is UNIMPLEMENTED.
//
// # Interceptors and statistics
//
// Both configurations have UnaryInterceptors and StreamInterceptors, which wrap
// calls, and [Stats], which observes calls and counts their bytes; package
// h2grpc/metrics, which is opt-in, has one for Prometheus. Exempt leaves
// methods out of both. An interceptor goes on by calling its last function:
//
//	func logged(ctx context.Context, req any, info *h2grpc.UnaryServerInfo, handler h2grpc.UnaryHandler) (any, error) {
//		reply, err := handler(ctx, req)
//		log.Print(info.FullMethod, " ", status.Code(err))
//		return reply, err
//	}
//
// # Passing calls on
//
// ServerConfig.Unknown handles calls of methods that the server does not know, and
// [Raw] is a message that is not decoded. With both, and a [ClientConn], whose
// NewStream takes any method's name, a program passes calls on without knowing their
// types. cmd/relay is one. Received metadata can be sent on as it is, since keys that
// belong to gRPC itself are skipped, and a status keeps details of any type.
//
// # Compression
//
// Compression is opt-in: each configuration lists its compressors, for example that
// of h2grpc/gzip as Compressors: []h2grpc.Compressor{gzip.New()}. A client compresses
// the requests of the calls that have the option [UseCompressor]; a server compresses
// its responses with the compressor of the request.
//
// # Limits
//
// Everything that a peer can make this package keep is bounded. The bounds that an
// application may want to change are fields of the configurations; zero means the
// default that limits.go gives with its reason: requests of 256 MiB, other messages
// of any size below 2 GiB, headers of 1 MiB for a request and of 8 MiB for a
// response, 1024 calls at once on a connection. Memory use follows what has arrived
// and what a peer does not take, not the limits: each connection has budgets for it,
// and [MessageMemory] bounds what all of them use for large messages. The limit of a
// message applies after decompression too, and nothing is allocated because of an
// announced length alone. The bounds are on what is held or running: what does not
// fit waits, or is refused. The other bounds are in internal/h2/limits.go; few of
// them end the connection, with a GOAWAY that gives the reason.
//
// How often calls may come, and how many of a method at once, is for the application to
// say: the interceptors of h2grpc/limit, which is opt-in, refuse what is over such limits
// with RESOURCE_EXHAUSTED and the time after which to try again.
//
// The status of a failed call is among its trailers, and the client may accept fewer
// bytes than these take: it announces its limit in SETTINGS_MAX_HEADER_LIST_SIZE;
// without that, 16 MiB is assumed. The code always arrives. As little as possible of
// the rest is left out: the handler's metadata, or else the details, or both, and
// finally the end of the text. The text that remains then ends with "… [cut: " and
// what is missing, and the server's Logger is told once a connection. A client treats
// what exceeds its own limit in the same way; see ClientConfig.MaxHeaderListSize.
//
// # Concurrency
//
// All methods of [ClientConn] and [Server] may be called concurrently. On a
// [ClientStream] or [ServerStream] one goroutine may send while another receives;
// neither side may be used by two goroutines at once. A message that waits for its
// reader first stops its own stream, and others only once many megabytes wait.
//
// Each handler has a goroutine of its own, except those that the connection's reader
// runs itself: unary handlers that are quick and whose call is alone on its
// connection, or that are very quick. They may block: that delays other calls by at
// most two milliseconds.
//
// A client's unary call that is alone on its connection, and one of many in a row,
// reads its own response, and a stream of either end on which messages go to and fro
// reads its own messages. They may notice the end of their contexts up to two
// milliseconds late, unless the call's deadline is near from the beginning.
//
// # What is deliberately absent
//
// Name resolution, load balancing, proxies, service configuration, retry policies and
// hedging: there is one server, and Dial knows its address. HTTP/1.1, upgrades,
// gRPC-Web and server push. Content types other than protobuf's, and credentials for
// single calls: a [Message] and an interceptor replace them. Registries, environment
// variables and global settings: everything that changes behaviour is in a
// configuration or an option of a call. Linking this package registers nothing and
// starts nothing.
//
// Health checking and reflection are services like others: h2grpc/health and
// h2grpc/reflection.
package h2grpc
