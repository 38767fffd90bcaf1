package wire

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Errors of the header codecs.
var (
	// errTimeout reports a malformed grpc-timeout value.
	errTimeout = errors.New("wire: grpc-timeout is not one to eight digits and one of H M S m u n")
	// errBin reports a "-bin" header value that is not base64.
	errBin = errors.New("wire: a -bin header value is not base64")
)

// timeoutUnits are the units of grpc-timeout, finest first.
// Source: gRPC's PROTOCOL-HTTP2, TimeoutUnit.
var timeoutUnits = [...]struct {
	letter byte
	unit   time.Duration
}{
	{'n', time.Nanosecond},
	{'u', time.Microsecond},
	{'m', time.Millisecond},
	{'S', time.Second},
	{'M', time.Minute},
	{'H', time.Hour},
}

// ParseTimeout parses a grpc-timeout value. A time that is longer than a time.Duration
// can hold (about 292 years) is cut to that. Zero is valid and means that the deadline
// has passed. The error quotes s.
func ParseTimeout(s string) (time.Duration, error) {
	if len(s) < 2 || len(s) > maxTimeoutDigits+1 {
		return 0, fmt.Errorf("%w: %s", errTimeout, Quote(s))
	}
	digits, letter := s[:len(s)-1], s[len(s)-1]
	n, ok := Decimal(digits, math.MaxInt64)
	if !ok {
		return 0, fmt.Errorf("%w: %s", errTimeout, Quote(s))
	}
	for _, u := range timeoutUnits {
		if u.letter != letter {
			continue
		}
		if n > uint64(math.MaxInt64/u.unit) {
			return math.MaxInt64, nil
		}
		return time.Duration(n) * u.unit, nil
	}
	return 0, fmt.Errorf("%w: %s", errTimeout, Quote(s))
}

// AppendTimeout appends d as a grpc-timeout value, in the finest unit that fits into
// eight digits, rounded up so that the server never gives up before the client does. A d
// of zero or less gives "0n".
func AppendTimeout(b []byte, d time.Duration) []byte {
	if d <= 0 {
		return append(b, "0n"...)
	}
	const limit = 99_999_999
	var n time.Duration
	var letter byte
	// Even the largest Duration is under three million hours, so one of the units always
	// fits.
	for _, u := range timeoutUnits {
		n, letter = d/u.unit, u.letter
		if d%u.unit != 0 {
			n++
		}
		if n <= limit {
			break
		}
	}
	return append(strconv.AppendInt(b, int64(n), 10), letter)
}

const upperHex = "0123456789ABCDEF"

// AppendMessage appends msg as a grpc-message value: every byte outside 0x20 to 0x7E, and
// '%', is written as %XX. Bytes that are not UTF-8 first become the replacement
// character, because the header is defined as UTF-8. Source: gRPC's PROTOCOL-HTTP2,
// Percent-Encoded.
func AppendMessage(b []byte, msg string) []byte {
	msg = strings.ToValidUTF8(msg, "\uFFFD")
	b = slices.Grow(b, len(msg))
	for i := range len(msg) {
		c := msg[i]
		if c >= 0x20 && c <= 0x7e && c != '%' {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return b
}

// ParseMessage decodes a grpc-message value. It never fails: a '%' without two hex digits
// after it stays as it is, and what does not decode to UTF-8 becomes the replacement
// character. The result is always valid UTF-8.
func ParseMessage(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, ok1 := unhex(s[i+1])
			lo, ok2 := unhex(s[i+2])
			if ok1 && ok2 {
				b = append(b, hi<<4|lo)
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// AppendBin appends one value of a "-bin" header: unpadded standard base64.
// Source: gRPC's PROTOCOL-HTTP2, Binary-Header.
func AppendBin(b []byte, value string) []byte {
	return base64.RawStdEncoding.AppendEncode(b, []byte(value))
}

// ParseBin decodes one value of a "-bin" header, with or without padding. Values that
// share a header line are joined by commas: split the line first. The error quotes s.
func ParseBin(s string) (string, error) {
	// Go's decoders skip line ends; no header value may contain one.
	if strings.ContainsAny(s, "\r\n") {
		return "", fmt.Errorf("%w: %s", errBin, Quote(s))
	}
	enc := base64.RawStdEncoding
	if strings.HasSuffix(s, "=") {
		enc = base64.StdEncoding
	}
	value, err := enc.DecodeString(s)
	if err != nil {
		return "", fmt.Errorf("%w: %s", errBin, Quote(s))
	}
	return string(value), nil
}
