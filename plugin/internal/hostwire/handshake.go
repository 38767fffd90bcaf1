package hostwire

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tenonrpc/tenon/wire"
)

// The kinds of handshake errors, for errors.Is. Each text says what to do.
var (
	// ErrEmptyLine reports a line of only white space.
	ErrEmptyLine = errors.New("the line is empty; a plugin's first line on stdout must be its handshake, so nothing may print to stdout before it serves")
	// ErrNotHandshake reports a line that does not look like a handshake at all.
	ErrNotHandshake = errors.New("this is not a handshake line; check that the program is a plugin, and that nothing in it prints to stdout before it serves")
	// ErrLineTooLong reports a line over MaxHandshakeLine.
	ErrLineTooLong = fmt.Errorf("the line is longer than %d bytes; check that the program is a plugin", MaxHandshakeLine)
	// ErrControlByte reports a control byte, such as NUL, inside the line.
	ErrControlByte = errors.New("the line contains a control character; check that the program is a plugin, and that nothing in it prints to stdout before it serves")
	// ErrFieldCount reports fewer than five fields, except the four of ErrNetRPC.
	ErrFieldCount = errors.New("a handshake has at least five fields separated by '|'; check that the program is a plugin, and that nothing else prints to stdout while it starts")
	// ErrCoreVersion reports a core protocol version other than CoreVersion.
	ErrCoreVersion = fmt.Errorf("this host speaks core protocol version %d only; rebuild the plugin with a library of that version", wire.CoreVersion)
	// ErrVersionSyntax reports a version that is not a decimal number up to MaxVersion.
	ErrVersionSyntax = fmt.Errorf("the version is not a decimal number from 0 to %d; rebuild the plugin with a library of the go-plugin protocol", wire.MaxVersion)
	// ErrNetwork reports a network other than unix and tcp.
	ErrNetwork = errors.New("the network is unknown; the plugin must listen on unix or tcp")
	// ErrAddress reports an address that is empty, over MaxAddress or, for tcp, not host:port.
	ErrAddress = errors.New("the address is unusable; the plugin must announce a socket path for unix and host:port for tcp")
	// ErrNetRPC reports a plugin that speaks net/rpc, by its name or by a line of four
	// fields.
	ErrNetRPC = errors.New("the plugin speaks net/rpc, which is not supported; build the plugin so that it serves grpc")
	// ErrProtocol reports a protocol other than grpc and netrpc.
	ErrProtocol = errors.New("the protocol is unknown; the plugin must serve grpc")
	// ErrBase64 reports a certificate field that is not standard base64.
	ErrBase64 = errors.New("the certificate is not standard base64; check that nothing else prints to stdout while the plugin starts, and that its library is of the go-plugin protocol")
	// ErrCertificateTooLarge reports a certificate over MaxCertificate.
	ErrCertificateTooLarge = fmt.Errorf("the certificate is larger than %d bytes; use a certificate with a smaller key or fewer names", wire.MaxCertificate)
	// ErrMux reports a multiplexing field that is not a boolean.
	ErrMux = errors.New("the multiplexing field is not a boolean such as true or false; rebuild the plugin with a library of the go-plugin protocol")
)

// ProtocolNetRPC is the protocol that is recognized only to be refused by name.
const ProtocolNetRPC = "netrpc"

// HandshakeError is the error of ParseHandshake and Multiplexed.
type HandshakeError struct {
	// Field is the field that was wrong: "line", "core version", "app version",
	// "network", "address", "protocol", "certificate" or "multiplex".
	Field string
	// Value is what the plugin sent there, quoted like a Go string and cut: it is safe to
	// print.
	Value string
	// Err is one of the kinds above.
	Err error
}

// Error returns one sentence for people, which quotes the plugin's text.
func (e *HandshakeError) Error() string {
	return "handshake: " + e.Field + " " + e.Value + ": " + e.Err.Error()
}

// Unwrap returns the kind of the error.
func (e *HandshakeError) Unwrap() error { return e.Err }

func badHandshake[T string | []byte](fieldName string, value T, kind error) error {
	return &HandshakeError{Field: fieldName, Value: wire.Quote(value), Err: kind}
}

// ParseHandshake parses a handshake line, with or without its newline, and keeps no
// reference to line. White space around the line is ignored, a missing sixth field means
// no certificate, base64 may be padded or not, a sixth field of up to maxLegacyField
// bytes is dropped, and so is everything after the seventh field. Append of the result is
// the canonical form of the line.
//
// The error is a *HandshakeError that wraps one of the kinds above; the
// Handshake is then the zero value.
func ParseHandshake(line []byte) (wire.Handshake, error) {
	h, err := parseHandshake(line)
	if err != nil {
		return wire.Handshake{}, err
	}
	return h, nil
}

func parseHandshake(line []byte) (h wire.Handshake, err error) {
	if len(line) > MaxHandshakeLine {
		return h, badHandshake("line", line, ErrLineTooLong)
	}
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return h, badHandshake("line", line, ErrEmptyLine)
	}
	// The eighth is everything after the seventh. go-plugin's hosts ignore it, too, so
	// that a line can be extended.
	fields := strings.SplitN(string(line), "|", 8)
	if len(fields) < 4 {
		kind := ErrFieldCount
		if _, ok := wire.Decimal(fields[0], wire.MaxVersion); !ok || len(fields) == 1 {
			kind = ErrNotHandshake
		}
		return h, badHandshake("line", line, kind)
	}
	// Coloured output is no handshake in the first place: control bytes are reported only
	// for what looks like one.
	if wire.ControlByte(line) >= 0 {
		return h, badHandshake("line", line, ErrControlByte)
	}
	// The core version comes first, because another version may have other fields.
	core, ok := wire.Decimal(fields[0], wire.MaxVersion)
	if !ok {
		return h, badHandshake("core version", fields[0], ErrVersionSyntax)
	}
	if core != wire.CoreVersion {
		return h, badHandshake("core version", fields[0], ErrCoreVersion)
	}
	app, ok := wire.Decimal(fields[1], wire.MaxVersion)
	if !ok {
		return h, badHandshake("app version", fields[1], ErrVersionSyntax)
	}
	h = wire.Handshake{CoreVersion: int(core), AppVersion: int(app), Network: fields[2], Address: fields[3]}
	if h.Network != wire.NetworkUnix && h.Network != wire.NetworkTCP {
		return h, badHandshake("network", h.Network, ErrNetwork)
	}
	if !wire.ValidAddress(h.Network, h.Address) {
		return h, badHandshake("address", h.Address, ErrAddress)
	}
	if len(fields) == 4 {
		// Plugins from before the protocol field speak net/rpc.
		return h, badHandshake("line", line, ErrNetRPC)
	}
	switch h.Protocol = fields[4]; h.Protocol {
	case wire.ProtocolGRPC:
	case ProtocolNetRPC:
		return h, badHandshake("protocol", h.Protocol, ErrNetRPC)
	default:
		return h, badHandshake("protocol", h.Protocol, ErrProtocol)
	}
	if len(fields) > 5 {
		if h.Certificate, err = parseCertificate(fields[5]); err != nil {
			return h, err
		}
	}
	if len(fields) > 6 {
		h.Mux = fields[6]
		if len(h.Mux) > wire.MaxMuxField {
			return h, badHandshake("multiplex", h.Mux, ErrMux)
		}
	}
	return h, nil
}

func parseCertificate(s string) ([]byte, error) {
	if len(s) <= maxLegacyField {
		return nil, nil
	}
	if base64.RawStdEncoding.DecodedLen(len(strings.TrimRight(s, "="))) > wire.MaxCertificate {
		return nil, badHandshake("certificate", s, ErrCertificateTooLarge)
	}
	enc := base64.RawStdEncoding.Strict()
	if strings.HasSuffix(s, "=") {
		enc = base64.StdEncoding.Strict()
	}
	der, err := enc.DecodeString(s)
	if err != nil {
		return nil, badHandshake("certificate", s, ErrBase64)
	}
	return der, nil
}

// Multiplexed reports whether a plugin multiplexes brokered connections: the seventh
// field as strconv.ParseBool reads it, or false if it is missing. A host checks it only
// if it has asked for multiplexing. The error is a *HandshakeError with ErrMux.
func Multiplexed(h wire.Handshake) (bool, error) {
	if h.Mux == "" {
		return false, nil
	}
	mux, err := strconv.ParseBool(h.Mux)
	if err != nil {
		return false, badHandshake("multiplex", h.Mux, ErrMux)
	}
	return mux, nil
}
