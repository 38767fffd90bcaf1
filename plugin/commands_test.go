//go:build !linux

package plugin_test

// commands are those of the obedient plugin that only Linux has.
var commands map[string]func(argument string) (string, error)
