// Package h2grpc is gRPC over HTTP/2, client and server, on any [net.Conn]. It
// is made for two programs that know each other, such as a host and its plugin:
// one address, one connection, nothing to look up and nothing to balance. It
// works with every other implementation of gRPC.
//
// Header compression is golang.org/x/net's hpack; messages are protobuf's. What peers must do is in gRPC's documents
// PROTOCOL-HTTP2, statuscodes and http-grpc-status-mapping, and in RFC 9113,
// which the code cites where it follows them.
//
// # Generated code
//
// The names are grpc-go's, as far as generated code refers to them.
// cmd/protoc-gen-go-h2grpc writes stubs for this package; what protoc-gen-go-grpc
// wrote compiles once its imports of google.golang.org/grpc and the codes and
// status below it are changed to this package and its own. A message is a
// [proto.Message], or codes itself as a [Message].
//
// # Client
//
// A [ClientConn] makes calls to one server. It connects with the first call, or
// by [ClientConn.Connect], and again when the connection was lost:
//
//	cc := h2grpc.NewClient(&h2grpc.ClientConfig{
//		Dial: func(ctx context.Context) (net.Conn, error) {
//			var d net.Dialer
//			return d.DialContext(ctx, "unix", path)
//		},
//	})
//	defer cc.Close()
//	kv := kvpb.NewKVClient(cc)
//
// A call fails with UNAVAILABLE if no connection can be made; with
// [WaitForReady] it waits for one. What has not been sent yet is sent on the next
// connection if the first is going away. A unary call that the server certainly
// did nothing with, because it said so with GOAWAY or REFUSED_STREAM, is made
// once more. There are no other retries.
//
// # Server
//
// Services are registered with a [Server] before it serves. Mistakes in that
// come from [Server.Serve], not as a panic:
//
//	s := h2grpc.NewServer(nil)
//	kvpb.RegisterKVServer(s, store)
//	err := s.Serve(listener)
//
// [Server.Shutdown] lets the calls in progress finish; [Server.Close] cancels
// them. Both wait for all handlers to return, Shutdown as long as its context
// lasts, Close for [CloseTimeout].
//
// # Passing calls on
//
// ServerConfig.Unknown is given the calls of methods that the server does not know,
// by name, and [Raw] is a message that nobody decodes: with both, and a
// [ClientConn] whose NewStream takes any method's name, a program passes on calls
// without knowing what they are. cmd/relay is one. Metadata can be handed on as it
// was received, since what belongs to gRPC itself is passed over, and a status keeps
// details of any type.
//
// # Statuses
//
// A handler's error becomes the call's status, and a call's error on the client
// is a status: package status makes and reads them, with details. An error that
// is no status is UNKNOWN with its text; those of a context are CANCELLED and
// DEADLINE_EXCEEDED. MapError, in both configurations, is the place to translate
// errors of another library. A panic in a handler is logged and becomes UNKNOWN;
// the process goes on. The number of messages is checked at both ends: another
// number than the method's kind has is UNIMPLEMENTED.
//
// Deadlines travel with the call and hold at both ends. A cancelled call resets
// its stream, which ends the handler's context.
//
// # Limits
//
// Everything that a peer can make this package keep is bounded. The bounds
// that an application may want to change are fields of the configurations; zero
// means the default that limits.go gives with its reason: requests of 256 MiB, other
// messages of any size below 2 GiB, headers of 1 MiB for a request and of 8 MiB for
// a response, 1024 calls at once on a connection. Memory follows what has arrived and
// what a peer takes, not the limits: each connection has budgets for it, and
// [MessageMemory] bounds what all of them take for large messages. A message's limit
// holds for its size after decompression too, and nothing is allocated on the word of
// a length alone. What is counted is what is held or running: what has no room waits,
// or is refused. The rest is in internal/h2/limits.go; few bounds end the connection,
// with a GOAWAY that says why.
//
// The status of a call that failed is among its trailers, and a client may take less
// than there is: SETTINGS_MAX_HEADER_LIST_SIZE is what it says, or 16 MiB if it says
// nothing. The code arrives in any case. Of the rest as little as possible is left
// out: the handler's metadata, or else the details, or both, and at last the end of
// the text. What is there of the text then ends with "… [cut: " and what is missing,
// and the server's Logger is told once a connection. A client deals with what is
// past its own limit in the same way; see ClientConfig.MaxHeaderListSize.
//
// # Concurrency
//
// All methods of [ClientConn] and [Server] may be called concurrently. On a
// [ClientStream] or [ServerStream] one goroutine may send while another receives;
// neither side may be used by two at once. A message that waits for its reader
// stops its own stream first, and others only once many megabytes wait.
//
// Handlers have a goroutine each, but for those that the reader of the connection runs
// itself: unary ones that are quick and whose call is alone on its connection, or that
// are very quick. They may block: others are delayed by two milliseconds at most.
//
// A client's unary call that is alone on its connection, and one of many in a row,
// reads its own response, and a stream of either end on which messages go to and fro
// reads its messages. They may see the end of their contexts up to two milliseconds
// late, unless a call's deadline is near from the beginning.
//
// # What is deliberately absent
//
// Name resolution, load balancing, proxies, service configuration, retry policies
// and hedging: there is one server, and Dial knows where. HTTP/1.1, upgrades,
// gRPC-Web and server push. Content types other than protobuf's, and credentials
// for single calls: a [Message] and an interceptor do what they are wanted for.
// Registries, environment variables and global settings: all that changes
// behaviour is in a configuration or an option of a call. Linking this package
// registers nothing and starts nothing. Compression is opt-in, by giving a
// configuration a [Compressor] such as that of h2grpc/gzip.
//
// Health checking and reflection are services like others: h2grpc/health and
// h2grpc/reflection.
package h2grpc
