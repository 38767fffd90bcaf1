package wire_test

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tenonrpc/tenon/testdata/vectors"
	"github.com/tenonrpc/tenon/wire"
)

func TestPrefixVectors(t *testing.T) {
	vectors.Run(t, "prefix", sentinels, func(t *testing.T, v *vectors.Vector) {
		input := []byte(v.Text(t, "input"))
		flag, n, err := wire.ParsePrefix(input)
		if v.WantError(t, err) {
			return
		}
		vectors.WantText(t, "flag", strconv.Itoa(int(flag)), v.Get(t, "flag"))
		vectors.WantText(t, "length", strconv.FormatUint(uint64(n), 10), v.Get(t, "length"))
		var out [wire.PrefixLen]byte
		wire.PutPrefix(out[:], flag == 1, n)
		vectors.WantText(t, "prefix", string(out[:]), string(input[:wire.PrefixLen]))
	})
}

func TestPutPrefixOverwrites(t *testing.T) {
	b := []byte("\xff\xff\xff\xff\xff\xff")
	wire.PutPrefix(b, false, 3)
	vectors.WantText(t, "prefix", string(b), "\x00\x00\x00\x00\x03\xff")
}

func FuzzPrefix(f *testing.F) {
	for _, v := range vectors.Load(f, "prefix") {
		f.Add([]byte(v.Text(f, "input")))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		flag, n, err := wire.ParsePrefix(b)
		if err != nil {
			if len(b) >= wire.PrefixLen && b[0] <= 1 {
				t.Fatalf("%q is refused: %v", b, err)
			}
			return
		}
		var out [wire.PrefixLen]byte
		wire.PutPrefix(out[:], flag == 1, n)
		vectors.WantText(t, "prefix", string(out[:]), string(b[:wire.PrefixLen]))
	})
}

func TestTimeoutVectors(t *testing.T) {
	vectors.Run(t, "timeout", sentinels, func(t *testing.T, v *vectors.Vector) {
		d, err := wire.ParseTimeout(v.Text(t, "input"))
		if v.WantError(t, err) {
			return
		}
		vectors.WantText(t, "duration", d.String(), v.Get(t, "duration"))
		vectors.WantText(t, "canonical form", string(wire.AppendTimeout(nil, d)), v.Text(t, "canonical"))
	})
}

func TestAppendTimeoutRoundsUp(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{-time.Second, "0n"},
		{0, "0n"},
		{1, "1n"},
		{99_999_999, "99999999n"},
		{100_000_000, "100000u"},
		{100_000_001, "100001u"},
		{99_999_999*time.Microsecond + 1, "100000m"},
		{99_999_999*time.Millisecond + 1, "100000S"},
		{99_999_999*time.Second + 1, "1666667M"},
		{99_999_999*time.Minute + 1, "1666667H"},
		{math.MaxInt64, "2562048H"},
	} {
		vectors.WantText(t, c.d.String(), string(wire.AppendTimeout([]byte("x"), c.d)), "x"+c.want)
	}
}

func FuzzTimeout(f *testing.F) {
	for _, v := range vectors.Load(f, "timeout") {
		f.Add(v.Text(f, "input"))
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := wire.ParseTimeout(s)
		if err != nil {
			return
		}
		if d < 0 {
			t.Fatalf("%q reads as %v", s, d)
		}
		// What was read from eight digits can be written exactly in eight digits, except
		// hours beyond the range of a Duration.
		again, err := wire.ParseTimeout(string(wire.AppendTimeout(nil, d)))
		if err != nil || again != d {
			t.Fatalf("%q reads as %v, and written and read again as %v, %v", s, d, again, err)
		}
	})
}

func FuzzAppendTimeout(f *testing.F) {
	for _, d := range []int64{-1, 0, 1, 99_999_999, 100_000_000, 1e18, math.MaxInt64} {
		f.Add(d)
	}
	f.Fuzz(func(t *testing.T, n int64) {
		d := time.Duration(n)
		s := string(wire.AppendTimeout(nil, d))
		got, err := wire.ParseTimeout(s)
		// Never shorter, and longer by less than one part in a hundred thousand: the unit
		// changes at eight digits, and a minute has 60 seconds.
		if err != nil || got < max(d, 0) || d > 0 && got-d > d/100_000 {
			t.Fatalf("%v is written as %q, which reads as %v, %v", d, s, got, err)
		}
	})
}

func TestMessageVectors(t *testing.T) {
	vectors.Run(t, "message", sentinels, func(t *testing.T, v *vectors.Vector) {
		got := wire.ParseMessage(v.Text(t, "input"))
		if v.WantError(t, nil) {
			return
		}
		vectors.WantText(t, "text", got, v.Text(t, "text"))
		vectors.WantText(t, "canonical form", string(wire.AppendMessage(nil, got)), v.Text(t, "canonical"))
	})
}

func FuzzMessage(f *testing.F) {
	for _, v := range vectors.Load(f, "message") {
		f.Add(v.Text(f, "input"))
		f.Add(v.Text(f, "text"))
	}
	f.Fuzz(func(t *testing.T, s string) {
		header := string(wire.AppendMessage(nil, s))
		for _, c := range []byte(header) {
			if c < 0x20 || c > 0x7e {
				t.Fatalf("%q is written as %q, which no header may hold", s, header)
			}
		}
		vectors.WantText(t, "message written and read", wire.ParseMessage(header), strings.ToValidUTF8(s, "\uFFFD"))
		if got := wire.ParseMessage(s); !utf8.ValidString(got) {
			t.Fatalf("%q reads as %q, which is not UTF-8", s, got)
		}
	})
}

func TestBinVectors(t *testing.T) {
	vectors.Run(t, "bin", sentinels, func(t *testing.T, v *vectors.Vector) {
		value, err := wire.ParseBin(v.Text(t, "input"))
		if v.WantError(t, err) {
			return
		}
		vectors.WantText(t, "value", value, v.Text(t, "value"))
		vectors.WantText(t, "canonical form", string(wire.AppendBin(nil, value)), v.Text(t, "canonical"))
	})
}

func FuzzBin(f *testing.F) {
	for _, v := range vectors.Load(f, "bin") {
		f.Add(v.Text(f, "input"))
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, header := range []string{string(wire.AppendBin(nil, s)), base64.StdEncoding.EncodeToString([]byte(s))} {
			got, err := wire.ParseBin(header)
			if err != nil || got != s {
				t.Fatalf("%q is written as %q, which reads as %q, %v", s, header, got, err)
			}
		}
		value, err := wire.ParseBin(s)
		if err != nil {
			return
		}
		again, err := wire.ParseBin(string(wire.AppendBin(nil, value)))
		if err != nil || again != value {
			t.Fatalf("%q reads as %q, and written and read again as %q, %v", s, value, again, err)
		}
	})
}
