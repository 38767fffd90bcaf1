package wire

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// CoreVersion is the version of the go-plugin protocol itself, the first field of the
// handshake line. No other version has ever existed.
const CoreVersion = 1

// The networks and the protocol of a handshake line.
const (
	NetworkUnix = "unix"
	NetworkTCP  = "tcp"

	ProtocolGRPC = "grpc"
)

// Handshake is the line that a plugin writes to its stdout to tell where and how it
// serves: CORE|APP|NETWORK|ADDR|PROTOCOL|CERT[|MUX]. Package hostwire parses it.
type Handshake struct {
	// CoreVersion is the protocol's own version. Append writes 0 as the constant
	// CoreVersion.
	CoreVersion int
	// AppVersion is the application's protocol version, from 0 to MaxVersion.
	AppVersion int
	// Network is "unix" or "tcp".
	Network string
	// Address is a socket path or host:port, of at most 4096 bytes. The port is from 1 to
	// MaxPort. A host that is empty or unspecified, as that of a listener on all
	// interfaces, stands for the loopback interface.
	Address string
	// Protocol is "grpc".
	Protocol string
	// Certificate is the plugin's certificate in DER, at most MaxCertificate bytes; it is
	// not parsed. Nil means that the plugin serves without TLS.
	Certificate []byte
	// Mux is the raw seventh field: "true" or "false" as plugins write it, or "" if there
	// is none.
	Mux string
}

// Unspeakable returns the position of the first byte of path that a handshake line cannot
// carry, a '|' or a control character, or -1 if there is none. Check a socket's path with
// it before creating the socket.
func Unspeakable(path string) int {
	for i := range len(path) {
		if path[i] == '|' || ControlByte(path[i:i+1]) >= 0 {
			return i
		}
	}
	return -1
}

// ValidAddress reports whether an address has the right form for its network. Whether a
// path fits into a socket address differs by system, and shows when connecting.
func ValidAddress(network, address string) bool {
	if address == "" || len(address) > maxAddress {
		return false
	}
	if network == NetworkUnix {
		return true
	}
	colon := strings.LastIndexByte(address, ':')
	if colon < 0 {
		return false
	}
	port, ok := Decimal(address[colon+1:], MaxPort)
	return ok && port > 0
}

// Append appends the line with its newline. Certificates are written without padding, as
// go-plugin's hosts require. Mux is written only if it is set, because old hosts take a
// seventh field for part of the sixth. Append does not check the fields: they are the
// plugin's own.
func (h Handshake) Append(b []byte) []byte {
	core := h.CoreVersion
	if core == 0 {
		core = CoreVersion
	}
	b = strconv.AppendInt(b, int64(core), 10)
	b = append(b, '|')
	b = strconv.AppendInt(b, int64(h.AppVersion), 10)
	for _, s := range []string{h.Network, h.Address, h.Protocol} {
		b = append(b, '|')
		b = append(b, s...)
	}
	b = append(b, '|')
	b = base64.RawStdEncoding.AppendEncode(b, h.Certificate)
	if h.Mux != "" {
		b = append(b, '|')
		b = append(b, h.Mux...)
	}
	return append(b, '\n')
}
