package wire

import "slices"

// Negotiate returns the application protocol version that a plugin serves:
// the highest that both lists hold. If they share none, or host is empty, it
// is the plugin's lowest and ok is false: the plugin announces it anyway, and
// the host reports the mismatch. With an empty plugin list it is (0, false).
// The lists may be in any order and hold duplicates; they are not changed.
func Negotiate(host, plugin []int) (version int, ok bool) {
	for _, v := range plugin {
		if (!ok || v > version) && slices.Contains(host, v) {
			version, ok = v, true
		}
	}
	if !ok && len(plugin) > 0 {
		version = slices.Min(plugin)
	}
	return version, ok
}
