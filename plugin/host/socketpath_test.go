package host_test

import (
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host"
)

// TestRoomForSockets: what host and plugin make, each with its own limit, fits into
// sun_path on every system with a NUL after it: 104 bytes on macOS and the BSDs, 108
// on Linux. The directory for temporary files of a user on macOS, which is as long
// everywhere, leaves room.
func TestRoomForSockets(t *testing.T) {
	const macOS = "/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T"
	for goos, size := range map[string]int{"darwin": 104, "freebsd": 104, "linux": 108, "windows": 108} {
		room := host.RoomOn(goos)
		if goos == "darwin" && room < len(macOS) {
			t.Errorf("%s: %d bytes are left for a directory, and %q has %d", goos, room, macOS, len(macOS))
		}
		for _, socket := range []string{
			strings.Repeat("d", room) + "/tenon-012345/h/host9999", // by the host
			strings.Repeat("d", room) + "/tenon-012345/p/plugin012345",
		} {
			if len(socket)+1 > size {
				t.Errorf("%s: a socket's path of %d bytes does not fit into %d", goos, len(socket), size)
			}
		}
	}
}
