// Package hostwire holds the codecs of the protocol that only hosts need: it parses what
// plugins print, their handshake and their logs, and writes their environment variables.
// No plugin links it. The formats, and the plugin's codecs, are in package wire, whose
// rules apply here as well: no goroutines, clocks, environment, connections or files,
// lengths checked before anything is allocated, zero values with errors, and no panics.
package hostwire
