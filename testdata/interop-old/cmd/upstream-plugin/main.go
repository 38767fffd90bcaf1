// Code generated from testdata/interop/cmd/upstream-plugin/main.go by generate.sh. DO NOT EDIT.

// Upstream-plugin is the rich plugin on hashicorp/go-plugin.
package main

import "github.com/tenonrpc/tenon/plugin/interop-old/upstream"

func main() { upstream.Serve() }
