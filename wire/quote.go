package wire

import "strconv"

// quote returns a peer's words in the form errors show them: quoted like a Go
// string, so that no control byte reaches a terminal or a log, and cut at
// maxQuoted bytes.
func quote[T string | []byte](s T) string {
	if len(s) <= maxQuoted {
		return strconv.Quote(string(s))
	}
	return strconv.Quote(string(s[:maxQuoted])) + "... (" + strconv.Itoa(len(s)) + " bytes)"
}

// controlByte returns the position of the first byte of s that is an ASCII
// control character, or -1.
func controlByte[T string | []byte](s T) int {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return i
		}
	}
	return -1
}

// decimal parses an unsigned decimal number of at most max. Signs, spaces and
// anything else that is not a digit are refused.
func decimal(s string, max uint64) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > max {
		return 0, false
	}
	return n, true
}
