// Upstream-plugin is the rich plugin on hashicorp/go-plugin.
package main

import "github.com/tenonrpc/tenon/plugin/interop/upstream"

func main() { upstream.Serve() }
