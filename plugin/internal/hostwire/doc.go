// Package hostwire is the half of the protocol's codecs that hosts alone need: it
// reads what plugins print, their handshake and their logs, and writes what they
// find in their environment. No plugin links it. The formats, and the other
// halves, are in package wire, whose rules hold here as well: no goroutines,
// clocks, environment, connections or files, lengths checked before anything is
// allocated, zero values with errors, and no panics.
package hostwire
