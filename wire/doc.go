// Package wire holds the codecs of the go-plugin protocol, and of the parts of gRPC that
// are neither HTTP/2 nor the application's messages, as far as plugins need them. What
// only hosts read and write is in plugin/internal/hostwire. Codecs are functions over
// bytes: ParseX or UnmarshalFrom, and Append or AppendTo. They use no goroutines, clocks,
// environment, connections or files, check lengths before they allocate, and return zero
// values with their errors. No input makes them panic. All functions may be called
// concurrently; values may be read concurrently.
//
// The rest of this page specifies what the two sides of the protocol send.
//
// # Launch
//
// The host starts the plugin as a child process, with these environment variables:
//
//   - the magic cookie, whose name and value the application chooses. It keeps people
//     from running a plugin by hand; it is not a security measure.
//   - PLUGIN_MIN_PORT and PLUGIN_MAX_PORT, always sent, for plugins on TCP.
//   - PLUGIN_PROTOCOL_VERSIONS, the application versions that the host supports, in any
//     order, separated by commas. There must be no spaces: a plugin skips an entry
//     that is not a bare number, so that "3, 5" reads as 3 alone.
//   - PLUGIN_CLIENT_CERT, the host's certificate in PEM, only with AutoMTLS.
//   - PLUGIN_MULTIPLEX_GRPC, "true" if the host wants brokered connections to
//     share one socket.
//   - PLUGIN_UNIX_SOCKET_DIR and PLUGIN_UNIX_SOCKET_GROUP, the directory for the
//     plugin's sockets and the group that is to own them.
//   - TENON_LIFELINE, from tenon hosts only: an inherited pipe that ends with the
//     host, as fd:device:inode, or "none" if the plugin is meant to outlive its host.
//   - TENON_STDOUT and TENON_STDERR, from tenon hosts only: inherited pipes for the
//     plugin's output, in the same form, instead of GRPCStdio. What is in a pipe
//     outlives the plugin.
//
// An empty variable counts as not set. A host that is a plugin itself removes all of
// these from the environment of the programs that it starts. See [Env] and [Lifeline].
//
// # Handshake
//
// The plugin listens, then writes one line to its stdout:
//
//	CORE|APP|NETWORK|ADDR|PROTOCOL|CERT[|MUX]
//
// CORE is 1. APP is the application version: the highest that both sides support, or the
// plugin's lowest if there is none, which the host reports as a mismatch (see
// [Negotiate]). NETWORK is unix or tcp, ADDR a path or host:port; a host that is empty or
// unspecified, as in [::]:10000, stands for this machine. PROTOCOL is grpc. The value
// netrpc, or a line of only four fields, means net/rpc, which a reader refuses by name.
// CERT is the plugin's certificate: its DER in standard base64 without padding, or empty
// without TLS. MUX, "true" or "false", is written only if PLUGIN_MULTIPLEX_GRPC is set,
// and tells whether the plugin multiplexes.
//
// A reader accepts more than a writer may send: white space around the line, five fields,
// padded base64, a sixth field of up to 50 bytes that is not a certificate, and further
// fields after the seventh, which it ignores. The plugin writes nothing to stdout before
// the line. After it, the host reads stdout for as long as the process lives. See
// [Handshake].
//
// A plugin without the right cookie writes a text for people to stderr, writes nothing to
// stdout, and exits with status 1.
//
// # AutoMTLS
//
// Each side makes a key pair and a self-signed certificate for localhost, and trusts only
// the other side's certificate: the host's is in PLUGIN_CLIENT_CERT, the plugin's in
// CERT. Both sides authenticate; TLS is 1.2 or newer; the application protocol is h2.
// Brokered connections use the same certificates. Tenon makes a new key pair for each
// launch, refuses brokered connections with an older TLS version than the main
// connection, and requires TLS 1.3 where a plugin finds TENON_LIFELINE.
//
// # Control services
//
// On the main connection the plugin serves, besides the application's services,
// grpc.health.v1.Health, where "plugin" is SERVING (see h2grpc/health), server reflection
// if the plugin is configured to (see h2grpc/reflection), and:
//
//   - plugin.GRPCBroker with StartStream, a stream of [ConnInfo] both ways, which the host
//     opens at once and keeps open.
//   - plugin.GRPCStdio with StreamStdio, a stream of [StdioData]: what the plugin's code
//     writes to os.Stdout and os.Stderr. A host may never call it.
//   - plugin.GRPCController with Shutdown, [Empty] to [Empty]. Some plugins end before
//     they answer; the broken connection then counts as success.
//
// # Broker
//
// Either side may offer further connections. Each side counts its ids from 1, and passes
// them to the other side in the application's own calls. Without multiplexing the
// offering side listens and sends a [ConnInfo] with the id, network and address; the
// other side dials. Each ConnInfo is good for one dial.
//
// With multiplexing the host opens one raw connection, on which it is the yamux client;
// the first stream is the main connection. To dial an id, a side sends a ConnInfo with
// the id and a [Knock], waits for the same with Ack set, and opens a stream. The nth
// stream belongs to the nth acknowledged knock. See [NetworkReady] and
// plugin/internal/yamux.
//
// # Logs
//
// The plugin's stderr is its log, line by line: hclog's JSON objects, text after a level
// in brackets, hclog's text format, or plain text. A tenon host also parses the JSON of
// zap, logrus and slog, which is plain text to other hosts. From a line on that begins
// like the Go runtime's report of a crash, lines without a level are errors. See
// [AppendLogLine], and for reading ParseLogLine of hostwire.
//
// # Reattach
//
// A host may connect to a plugin that it did not start. Terraform and OpenTofu read such
// plugins from the variable TF_REATTACH_PROVIDERS ([Reattach]). Its pid alone proves
// nothing, because pids are reused; tenon's own record adds the start time of the process
// (Reattach of package host).
//
// # gRPC
//
// Each message has a prefix of five bytes ([ParsePrefix]). The headers grpc-timeout,
// grpc-message and those that end in "-bin" have encodings of their own ([ParseTimeout],
// [ParseMessage], [ParseBin]); status details are sent as a google.rpc.Status (package
// h2grpc/status).
package wire
