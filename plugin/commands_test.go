//go:build !linux

package plugin_test

// commands are those of the obedient plugin that work only on Linux.
var commands map[string]func(argument string) (string, error)
