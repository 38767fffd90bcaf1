// Tenon-plugin is the rich plugin on this library.
package main

import "github.com/tenonrpc/tenon/plugin/interop/cases/tenonside"

func main() { tenonside.Serve() }
