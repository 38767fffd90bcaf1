package wire

import (
	"strconv"
	"unicode/utf8"
)

// Quote returns a peer's text as errors show it: quoted like a Go string, so that no
// control byte reaches a terminal or a log, and cut at 64 bytes.
func Quote[T string | []byte](s T) string {
	if len(s) <= maxQuoted {
		return strconv.Quote(string(s))
	}
	return strconv.Quote(string(s[:maxQuoted])) + "... (" + strconv.Itoa(len(s)) + " bytes)"
}

// ControlByte returns the position of the first ASCII control character in s, or -1 if
// there is none.
func ControlByte[T string | []byte](s T) int {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return i
		}
	}
	return -1
}

// Decimal parses an unsigned decimal number. It reports false for a number above max, and
// for signs, spaces and anything else that is not a digit.
func Decimal(s string, max uint64) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > max {
		return 0, false
	}
	return n, true
}

// Printable returns a peer's text as errors and logs show it where quotes would be in the
// way. It escapes, as in a Go string, what a terminal would act on, what would be
// invisible, and what would change the order of the text: control characters, including
// line ends but not tabs; Unicode's, such as those for the direction of writing; and
// bytes that are not UTF-8. Letters, signs and spaces of every script stay as they are.
// After about limit bytes the rest is cut, and replaced by its length. If nothing needs
// to be changed, the result is s itself.
func Printable(s string, limit int) string {
	i := 0
	for i < len(s) && i < limit {
		n := shown(s[i:])
		if n == 0 {
			break
		}
		i += n
	}
	if i == len(s) {
		return s
	}
	b := append(make([]byte, 0, min(len(s), limit)+len(`\u2028… (4096 bytes more)`)), s[:i]...)
	for i < len(s) {
		if len(b) >= limit {
			b = append(b, "… ("...)
			b = strconv.AppendInt(b, int64(len(s)-i), 10)
			b = append(b, " bytes more)"...)
			break
		}
		n := shown(s[i:])
		if n > 0 {
			b = append(b, s[i:i+n]...)
		} else {
			_, n = utf8.DecodeRuneInString(s[i:])
			at := len(b)
			b = strconv.AppendQuote(b, s[i:i+n])
			b = append(b[:at], b[at+1:len(b)-1]...) // without the quotes
		}
		i += n
	}
	return string(b)
}

// shown returns the length in bytes of the first character of s, or 0 if it must be
// escaped.
func shown(s string) int {
	if c := s[0]; c < utf8.RuneSelf {
		if c < ' ' && c != '\t' || c == 0x7f {
			return 0
		}
		return 1
	}
	r, n := utf8.DecodeRuneInString(s)
	// The joiner and the non-joiner occur in words of some scripts, and in emoji.
	if r == utf8.RuneError && n == 1 || !strconv.IsGraphic(r) && r != '\u200c' && r != '\u200d' {
		return 0
	}
	return n
}
