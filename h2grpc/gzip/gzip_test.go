package gzip_test

import (
	"bytes"
	stdgzip "compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/gzip"
)

// member is text as one gzip member, made by the standard library.
func member(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := stdgzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// bomb returns compressed zeros: n MiB in as many members.
func bomb(t testing.TB, n int) []byte {
	t.Helper()
	return bytes.Repeat(member(t, strings.Repeat("\x00", 1<<20)), n)
}

// texts have lengths around those where the decompressor proceeds differently.
func texts() map[string]string {
	random := make([]byte, 3<<19)
	chacha := rand.NewChaCha8([32]byte{1})
	chacha.Read(random)
	return map[string]string{
		"empty": "", "byte": "x", "short": "a short message", "random": string(random),
		"page": strings.Repeat("p", 4<<10), "below 1 MiB": strings.Repeat("b", 1<<20-1), "1 MiB": strings.Repeat("m", 1<<20),
		"above 1 MiB": strings.Repeat("a", 1<<20+1), "2 MiB": strings.Repeat("gzip", 1<<19),
	}
}

func TestRoundTrip(t *testing.T) {
	c := gzip.New()
	if c.Name() != "gzip" {
		t.Errorf("the name is %q", c.Name())
	}
	for name, text := range texts() {
		t.Run(name, func(t *testing.T) {
			small, err := c.Compress([]byte("before"), []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			small, ok := bytes.CutPrefix(small, []byte("before"))
			if !ok {
				t.Fatal("Compress does not append")
			}
			r, err := stdgzip.NewReader(bytes.NewReader(small))
			if err != nil {
				t.Fatal(err)
			}
			if plain, err := io.ReadAll(r); err != nil || string(plain) != text {
				t.Fatalf("the standard library reads %d bytes, %v, of what Compress wrote", len(plain), err)
			}
			// A limit of exactly the length is enough, with room in dst or not.
			for _, dst := range [][]byte{nil, []byte("before"), make([]byte, 0, len(text)+1), make([]byte, 0, 100)} {
				plain, err := c.Decompress(dst, small, len(text))
				if err != nil {
					t.Fatal(err)
				}
				if string(plain) != string(dst)+text {
					t.Fatalf("got %d bytes after %d, want the text's %d", len(plain), len(dst), len(text))
				}
			}
		})
	}
}

func TestLimit(t *testing.T) {
	c := gzip.New()
	for name, text := range texts() {
		if text == "" {
			continue
		}
		small := member(t, text)
		for _, limit := range []int{len(text) - 1, len(text) / 2, 1, 0, -1} {
			if limit >= len(text) {
				continue
			}
			dst := []byte("before")
			got, err := c.Decompress(dst, small, limit)
			if !errors.Is(err, h2grpc.ErrTooLarge) {
				t.Errorf("%s with a limit of %d: got %v, want ErrTooLarge", name, limit, err)
			}
			if string(got) != "before" {
				t.Errorf("%s with a limit of %d: got %d bytes beside the error, want dst as it was", name, limit, len(got))
			}
		}
	}
	if _, err := c.Decompress(nil, member(t, ""), 0); err != nil {
		t.Errorf("an empty message with a limit of 0: %v", err)
	}
}

// TestBomb: 256 MiB that arrive in 256 kB are refused at the limit, and the cost does
// not depend on the limit.
func TestBomb(t *testing.T) {
	const most = 3 << 20
	small := bomb(t, 256)
	c := gzip.New()
	for _, limit := range []int{0, 1 << 20, 64 << 20, 128 << 20} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := c.Decompress(nil, small, limit)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, h2grpc.ErrTooLarge) {
			t.Errorf("with a limit of %d: got %v, want ErrTooLarge", limit, err)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > most {
			t.Errorf("with a limit of %d: %d bytes were allocated, want at most %d", limit, got, most)
		}
	}
}

// TestLargeOnce: a message within the limit takes its length and little more.
func TestLargeOnce(t *testing.T) {
	const size, most = 32 << 20, 36 << 20
	small := bomb(t, size>>20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	plain, err := gzip.New().Decompress(nil, small, 64<<20)
	runtime.ReadMemStats(&after)
	if err != nil || len(plain) != size {
		t.Fatalf("got %d bytes, %v", len(plain), err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > most {
		t.Errorf("%d bytes were allocated, want at most %d", got, most)
	}
}

// TestFormat is about what counts as one message.
func TestFormat(t *testing.T) {
	one, two := member(t, "one"), member(t, "two")
	long := member(t, strings.Repeat("long", 1<<19))
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	flip := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 1
		return b
	}
	for _, c := range []struct {
		name string
		src  []byte
		want string // "error" for an error
	}{
		{"one member", one, "one"},
		{"several members", join(one, two, one), "onetwoone"},
		{"an empty member between", join(one, member(t, ""), two), "onetwo"},
		{"no member", nil, "error"},
		{"no gzip", []byte("this is not gzip at all"), "error"},
		{"a byte after the member", join(one, []byte{1}), "error"},
		{"zeros after the member", join(one, make([]byte, 512)), "error"},
		{"text after the member", join(one, []byte("something else, long enough for a header")), "error"},
		{"a header alone", one[:10], "error"},
		{"half a header", one[:5], "error"},
		{"without the trailer", one[:len(one)-8], "error"},
		{"without the last byte", one[:len(one)-1], "error"},
		{"the second member cut short", join(one, two[:len(two)-3]), "error"},
		{"another checksum", flip(one, len(one)-8), "error"},
		{"another length", flip(one, len(one)-1), "error"},
		{"another compression method", flip(one, 2), "error"},
		{"a long one without its last byte", long[:len(long)-1], "error"},
		{"a long one with another checksum", flip(long, len(long)-8), "error"},
	} {
		got, err := gzip.New().Decompress([]byte("before "), c.src, 64<<20)
		switch {
		case c.want == "error":
			if err == nil {
				t.Errorf("%s: decompressed to %d bytes, want an error", c.name, len(got))
			} else if errors.Is(err, h2grpc.ErrTooLarge) || errors.Is(err, io.EOF) {
				t.Errorf("%s: the error is %v", c.name, err)
			}
		case err != nil || string(got) != "before "+c.want:
			t.Errorf("%s: got %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}

func TestLevels(t *testing.T) {
	text := []byte(strings.Repeat("level ", 1000))
	lengths := map[int]int{}
	for level := -2; level <= 9; level++ {
		c, err := gzip.NewLevel(level)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time with what the pool has
			small, err := c.Compress(nil, text)
			if err != nil {
				t.Fatal(err)
			}
			lengths[level] = len(small)
			if plain, err := gzip.New().Decompress(nil, small, len(text)); err != nil || !bytes.Equal(plain, text) {
				t.Errorf("level %d: got %d bytes, %v", level, len(plain), err)
			}
		}
	}
	if lengths[0] <= len(text) || lengths[9] >= len(text)/10 {
		t.Errorf("level 0 makes %d bytes of %d, level 9 %d", lengths[0], len(text), lengths[9])
	}
	for _, level := range []int{-3, 10} {
		if _, err := gzip.NewLevel(level); err == nil {
			t.Errorf("level %d is accepted", level)
		}
	}
}

// TestConcurrent uses one compressor from many goroutines.
func TestConcurrent(t *testing.T) {
	c := gzip.New()
	var all sync.WaitGroup
	for i := range 8 {
		text := strings.Repeat(string(rune('a'+i)), 1000*i)
		all.Go(func() {
			for range 50 {
				small, err := c.Compress(nil, []byte(text))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := c.Decompress(nil, small[:len(small)-1], len(text)); err == nil {
					t.Error("a message without its last byte was accepted")
				}
				if plain, err := c.Decompress(nil, small, len(text)); err != nil || string(plain) != text {
					t.Errorf("got %d bytes, %v, want %d", len(plain), err, len(text))
				}
			}
		})
	}
	all.Wait()
}

// TestAllocations: small messages allocate nothing except the bytes that they are put
// into.
func TestAllocations(t *testing.T) {
	c := gzip.New()
	text := []byte(strings.Repeat("text ", 100))
	small, err := c.Compress(nil, text)
	if err != nil {
		t.Fatal(err)
	}
	into, plain := make([]byte, 0, 1<<10), make([]byte, 0, 8<<10)
	n := testing.AllocsPerRun(100, func() {
		if _, err := c.Compress(into, text); err != nil {
			t.Error(err)
		}
		if _, err := c.Decompress(plain, small, len(text)); err != nil {
			t.Error(err)
		}
	})
	// A garbage collection between two runs may empty the pools, and the race
	// detector does.
	if n > 2 && !raceEnabled {
		t.Errorf("%v allocations a message, want next to none", n)
	}
}

// FuzzDecompress compares with the standard library: the same bytes or an error
// from both, and never more than the limit.
func FuzzDecompress(f *testing.F) {
	one := member(f, "one")
	f.Add(one, 3)
	f.Add(one, 2)
	f.Add(append(bytes.Clone(one), one...), 100)
	f.Add(append(bytes.Clone(one), 0), 100)
	f.Add(one[:len(one)-4], 100)
	f.Add(member(f, strings.Repeat("x", 1<<20+10)), 2<<20)
	f.Add([]byte{}, 0)
	c := gzip.New()
	f.Fuzz(func(t *testing.T, src []byte, limit int) {
		limit = min(max(limit, 0), 4<<20)
		got, err := c.Decompress([]byte("dst"), src, limit)
		var want []byte
		r, wantErr := stdgzip.NewReader(bytes.NewReader(src))
		if wantErr == nil {
			want, wantErr = io.ReadAll(io.LimitReader(r, int64(limit)+1))
		}
		switch {
		case wantErr == nil && len(want) > limit:
			if !errors.Is(err, h2grpc.ErrTooLarge) {
				t.Fatalf("more than %d bytes: got %d bytes, %v", limit, len(got), err)
			}
		case wantErr != nil:
			if err == nil {
				t.Fatalf("got %d bytes, the standard library %v", len(got), wantErr)
			}
		case err != nil || string(got) != "dst"+string(want):
			t.Fatalf("got %d bytes, %v, want %d", len(got), err, len(want)+3)
		}
		if err != nil {
			return
		}
		small, err := c.Compress(nil, got)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := c.Decompress(nil, small, len(got)); err != nil || !bytes.Equal(back, got) {
			t.Fatalf("compressed and decompressed: %d bytes, %v, want %d", len(back), err, len(got))
		}
	})
}
