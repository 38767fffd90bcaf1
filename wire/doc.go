// Package wire holds the codecs of the go-plugin protocol and of those parts of
// gRPC that are neither HTTP/2 nor the application's own messages, as far as
// plugins need them; what hosts alone read and write is in
// plugin/internal/hostwire. Codecs are functions over bytes, ParseX or
// UnmarshalFrom and Append or AppendTo. They have no goroutines, clocks,
// environment, connections or files, check lengths before they allocate, and
// return zero values with their errors. Nothing a peer sends makes them panic.
// All functions may be called concurrently; values may be read concurrently.
//
// The rest of this page specifies what the two ends of the protocol send.
//
// # Launch
//
// The host starts the plugin as a child process and tells it through its
// environment:
//
//   - the magic cookie, a name and value that the application chose. It keeps
//     people from running a plugin by hand; it is not a security measure.
//   - PLUGIN_MIN_PORT and PLUGIN_MAX_PORT, always sent, for plugins on TCP.
//   - PLUGIN_PROTOCOL_VERSIONS, the application versions the host has, in any
//     order, divided by commas. There must be no spaces: a plugin skips an
//     entry that is not a bare number, so that "3, 5" reads as 3 alone.
//   - PLUGIN_CLIENT_CERT, the host's certificate in PEM, only with AutoMTLS.
//   - PLUGIN_MULTIPLEX_GRPC, "true" if the host wants brokered connections to
//     share one socket.
//   - PLUGIN_UNIX_SOCKET_DIR and PLUGIN_UNIX_SOCKET_GROUP, where the plugin
//     puts its sockets and which group owns them.
//   - TENON_LIFELINE, from tenon hosts only: an inherited pipe that ends with
//     the host, as fd:device:inode, or "none" if the plugin is meant to outlive
//     its host.
//   - TENON_STDOUT and TENON_STDERR, from tenon hosts only: inherited pipes for
//     what the plugin prints, in the same form, in place of GRPCStdio. What is in
//     a pipe outlives the plugin.
//
// A variable that is empty counts as not set. A host that is a plugin itself
// strips all of these from what it passes on. See [Env] and [Lifeline].
//
// # Handshake
//
// The plugin listens, then writes one line to its stdout:
//
//	CORE|APP|NETWORK|ADDR|PROTOCOL|CERT[|MUX]
//
// CORE is 1. APP is the application version: the highest that both have, or the
// plugin's lowest if there is none, which the host reports as a mismatch (see
// [Negotiate]). NETWORK is unix or tcp, ADDR a path or host:port; a host that is
// empty or unspecified, as in [::]:10000, stands for this machine. PROTOCOL is
// grpc; netrpc, and a line of four fields, stand for a protocol that is refused
// by name. CERT is the plugin's certificate: its DER in standard base64 without
// padding, or nothing without TLS. MUX is written only if PLUGIN_MULTIPLEX_GRPC
// is set, and says whether the plugin multiplexes.
//
// A reader accepts more than a writer may send: white space around the line,
// five fields, padded base64, a sixth field of up to 50 bytes that
// is no certificate, and further fields after the seventh, which it ignores.
// Before the line the plugin writes nothing; after it, stdout is drained for as
// long as the process lives. See [Handshake].
//
// A plugin without the right cookie writes a text for people to stderr, nothing
// to stdout, and exits with status 1.
//
// # AutoMTLS
//
// Each side makes a key pair and a self-signed certificate for localhost, and
// trusts the other's certificate alone: the host's came in PLUGIN_CLIENT_CERT,
// the plugin's in CERT. Both sides authenticate; TLS is 1.2 or newer; the
// application protocol is h2. Brokered connections use the same material. Tenon
// makes a key pair for each connection of a host and a plugin, takes no brokered
// connection of an older TLS than the main one, and no TLS but 1.3 where a plugin
// finds TENON_LIFELINE.
//
// # Control services
//
// On the main connection the plugin serves, besides the application's services,
// grpc.health.v1.Health, where "plugin" is SERVING (see h2grpc/health), server
// reflection if it is asked to (see h2grpc/reflection), and:
//
//   - plugin.GRPCBroker with StartStream, a stream of [ConnInfo] both ways, opened
//     by the host at once and kept for life.
//   - plugin.GRPCStdio with StreamStdio, a stream of [StdioData]: what the plugin's
//     code writes to os.Stdout and os.Stderr. A host may never call it.
//   - plugin.GRPCController with Shutdown, [Empty] to [Empty]. Some plugins end
//     before they answer; the broken connection is then a success.
//
// # Broker
//
// Either side may offer further connections. Ids count from 1 on each side, and
// reach the peer inside the application's own calls. Without multiplexing the
// offering side listens and sends a [ConnInfo] with the id, network and
// address; the other dials. Each ConnInfo serves one dial.
//
// With multiplexing the host opens one raw connection, on which it is the yamux
// client; the first stream is the main connection. To dial an id, a side sends
// a ConnInfo with the id and a [Knock], waits for the same with Ack, and opens a
// stream; the nth acknowledged knock gets the nth stream. See [NetworkReady]
// and plugin/internal/yamux.
//
// # Logs
//
// The plugin's stderr is its log, by line: hclog's JSON objects, text behind a
// level in brackets, hclog's text form, or plain text. A tenon host reads the
// JSON of zap, logrus and slog as well, which is plain text to others. From a
// line that begins like the runtime's last words on, lines without a level of
// their own are errors. See [AppendLogLine], and for what is read hostwire's
// ParseLogLine.
//
// # Reattach
//
// A host may connect to a plugin that it did not start. Terraform and OpenTofu
// take such plugins from the variable TF_REATTACH_PROVIDERS ([Reattach]). Its pid
// alone proves nothing, since pids are used again; tenon's own record adds when
// the process started (package host's Reattach).
//
// # gRPC
//
// Each message has a prefix of five bytes ([ParsePrefix]). Of the headers,
// grpc-timeout, grpc-message and those that end in "-bin" have encodings of
// their own ([ParseTimeout], [ParseMessage], [ParseBin]); status details travel
// as a google.rpc.Status (package h2grpc/status).
package wire
