package main

import (
	"os/exec"
)

// rust is tonic, gRPC for Rust, with rustls.
func rust(b *bench) *language {
	const name = "rust"
	return &language{
		name:    name,
		version: "tonic 0.14.9",
		cases: map[string]map[string]*trial{
			"plugin": pluginCases(func(arguments ...string) *exec.Cmd {
				return exec.Command(b.path(name, "debug", "kv"), arguments...)
			}),
		},
	}
}
