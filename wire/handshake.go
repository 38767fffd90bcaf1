package wire

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// CoreVersion is the version of the go-plugin protocol itself, the first field
// of the handshake line. There has only ever been this one.
const CoreVersion = 1

// The networks and the protocol of a handshake line.
const (
	NetworkUnix = "unix"
	NetworkTCP  = "tcp"

	ProtocolGRPC = "grpc"
)

// Handshake is the one line that a plugin writes to its stdout to say where
// and how it serves: CORE|APP|NETWORK|ADDR|PROTOCOL|CERT[|MUX]. Package hostwire
// reads it.
type Handshake struct {
	// CoreVersion is the protocol's own version. Append writes the constant
	// CoreVersion for 0.
	CoreVersion int
	// AppVersion is the application's protocol version, from 0 to MaxVersion.
	AppVersion int
	// Network is "unix" or "tcp".
	Network string
	// Address is a socket path or host:port, of at most maxAddress bytes. The port
	// is a number from 1 to MaxPort. A host that is empty or unspecified, as of a
	// listener on all interfaces, stands for the loopback interface.
	Address string
	// Protocol is "grpc".
	Protocol string
	// Certificate is the plugin's certificate in DER, at most MaxCertificate
	// bytes and not parsed. Nil means that the plugin serves without TLS.
	Certificate []byte
	// Mux is the raw seventh field, "" if there is none; "true" or "false" as
	// plugins write it.
	Mux string
}

// Unspeakable returns the position of the first byte of a socket's path that a
// handshake line cannot carry, a '|' or a control character, and -1 if there is
// none. Whoever makes the path asks first.
func Unspeakable(path string) int {
	for i := range len(path) {
		if path[i] == '|' || ControlByte(path[i:i+1]) >= 0 {
			return i
		}
	}
	return -1
}

// ValidAddress checks an address for form alone. Whether a path fits into a
// socket address differs by system, and is found when connecting.
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

// Append appends the line with its newline. Certificates are written without
// padding, which upstream hosts insist on; Mux is written only if it is set,
// because old hosts take a seventh field for part of the sixth. Append does
// not check the fields: a plugin sends what it chose itself.
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
