package h2

import "testing"

// TestGrowth: the buffer of a message grows in steps while little of it has arrived,
// and never beyond what the peer has window for.
func TestGrowth(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name                    string
		got, size, here, window int
		want                    int
	}{
		{"the beginning", 4 << 10, 64 * mib, 16 << 10, 64 * mib, 16 << 10},
		{"little", mib / 4, 64 * mib, 16 << 10, 64 * mib, mib},
		{"much", mib, 16*mib + 100, 16 << 10, 64 * mib, 16*mib + 100},
		{"much of a larger one", 4 * mib, 64*mib + 100, 16 << 10, 128 * mib, 64*mib + 100},
		{"too little of a larger one", mib, 64 * mib, 16 << 10, 64 * mib, 4 * mib},
		{"too little of the largest", mib, 1<<31 - 1, 16 << 10, 1<<31 - 1, 4 * mib},
		{"much of more than is allocated at once", 8 * mib, 128 * mib, 16 << 10, 128 * mib, 32 * mib},
		{"so much of it that the rest is", 64 * mib, 128 * mib, 16 << 10, 128 * mib, 128 * mib},
		{"much, with little window", mib, 16 * mib, 16 << 10, 2 * mib, 3*mib + 16<<10},
		{"much, without window", mib, 16 * mib, 16 << 10, 0, 2 * mib},
		{"nearly all", mib / 2, mib/2 + 100, 100, 0, mib/2 + 100},
		{"just above a power of two", mib / 4, mib + 100, 16 << 10, 2 * mib, mib + 100},
	} {
		s := &Stream{}
		s.reader.got, s.reader.size = c.got, c.size
		s.in.window = c.window
		if got := s.growth(c.here); got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.name, got, c.want)
		}
	}
}
