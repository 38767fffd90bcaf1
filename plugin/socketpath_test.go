package plugin

import "testing"

// TestSocketPathLimits: sun_path has 104 bytes on macOS and the BSDs, and 108 on Linux
// and Windows, of which a NUL takes one.
func TestSocketPathLimits(t *testing.T) {
	for goos, size := range map[string]int{"darwin": 104, "freebsd": 104, "linux": 108, "windows": 108} {
		if n := maxSocketPathOn(goos); n+1 != size {
			t.Errorf("%s: paths of %d bytes are taken, and %d fit", goos, n, size-1)
		}
	}
}
