// Package yamux carries many streams over one connection, as go-plugin's
// multiplexed broker does. It speaks the protocol of hashicorp/yamux, which is
// specified by that module's spec.md.
//
// A Session is one end of the connection, and a Stream in it is a net.Conn. Each stream
// has a window of 256 KiB in each direction. A stream can be half-closed (CloseWrite),
// closed and reset. A session has two goroutines, a reader and a writer; streams have
// none.
//
// The peer is not trusted. What it can make a session hold is bounded by the constants in
// limits.go, and a peer that breaks the protocol ends the session with a [*ProtocolError]
// that gives the reason.
package yamux
