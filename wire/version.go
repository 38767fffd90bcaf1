package wire

import "slices"

// Negotiate returns the application protocol version that a plugin serves: the highest in
// both lists. If they have none in common, or host is empty, it returns the plugin's
// lowest and false: the plugin announces it anyway, and the host reports the mismatch. If
// plugin is empty, it returns (0, false). The lists may be in any order and contain
// duplicates; they are not changed.
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
