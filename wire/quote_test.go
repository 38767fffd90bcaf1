package wire_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tenonrpc/tenon/wire"
)

// TestPrintable has texts of peers and how they are shown.
func TestPrintable(t *testing.T) {
	for _, text := range []string{
		"", "plain", "a\ttab", `a \x1b that is text`, "ünïcödé 日本語　全角 עברית", "می\u200cخواهم", "👩\u200d🚀 🎉", "non\u00a0breaking", "a\ufffdb",
	} {
		if got := wire.Printable(text, 1000); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	for text, want := range map[string]string{
		"\x1b]0;owned\a\x1b[2J":          `\x1b]0;owned\a\x1b[2J`,
		"one\r\nERROR two":               `one\r\nERROR two`,
		"\x00\b\v\f\x7f":                 `\x00\b\v\f\x7f`,
		"\u0085\u009b2J":                 `\u0085\u009b2J`,
		"\u202egpj\u202c\u2066\u2069":    `\u202egpj\u202c\u2066\u2069`,
		"\u200e\u200f\u061c\u2028\u2029": `\u200e\u200f\u061c\u2028\u2029`,
		"\ufeff\u200b\U000e0041":         `\ufeff\u200b\U000e0041`,
		"a\xff\xfe\xe2\x82b\xed\xa0\x80": `a\xff\xfe\xe2\x82b\xed\xa0\x80`,
		"ü\x9b":                          `ü\x9b`,
		"mixed: é\x1b日\n":                `mixed: é\x1b日\n`,
	} {
		got := wire.Printable(text, 1000)
		if got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
		if again := wire.Printable(got, 1000); again != got {
			t.Errorf("%q became %q the second time", got, again)
		}
	}
}

// TestPrintableIsCut: the length counts as shown, the cut is between characters, and the
// length of the rest is given.
func TestPrintableIsCut(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{
		{"12345", 5, "12345"},
		{"123456", 5, "12345… (1 bytes more)"},
		{"日本語", 4, "日本… (3 bytes more)"},
		{"\x1b\x1b\x1b\x1b", 8, `\x1b\x1b… (2 bytes more)`},
		{strings.Repeat("x", 1<<20), 3, "xxx… (1048573 bytes more)"},
		{"x", 0, "… (1 bytes more)"},
		{"", 0, ""},
	} {
		if got := wire.Printable(c.text, c.limit); got != c.want {
			t.Errorf("%.20q in %d became %.60q, want %q", c.text, c.limit, got, c.want)
		}
	}
	for _, unit := range []string{"\x1b", "\xff", "\u202e", "\U000e0041", "é", "\n", "日\x00"} {
		for n := range 300 {
			got := wire.Printable(strings.Repeat(unit, n), 100)
			if len(got) > 100+len(`\U000e0041… (300 bytes more)`) || !utf8.ValidString(got) || strings.ContainsAny(got, "\x00\n\x1b\u202e") {
				t.Fatalf("%d times %q became %q", n, unit, got)
			}
		}
	}
}

// TestPrintableTextCostsNothing: printable text, as most is, is not copied.
func TestPrintableTextCostsNothing(t *testing.T) {
	text := strings.Repeat("the key demo/naïve is 使用中; ", 100)
	if n := testing.AllocsPerRun(100, func() { wire.Printable(text, len(text)) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
