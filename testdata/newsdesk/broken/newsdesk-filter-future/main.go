// Newsdesk-filter-future is a filter for the tests of the host: it speaks a version of
// the protocol that this host has not. It is the last file of the path; what to change
// when you make the application yours is in README.md.
package main

import (
	"github.com/tenonrpc/tenon/plugin"

	"example.com/newsdesk/desk"
)

func main() {
	plugin.Serve(&plugin.ServeConfig{
		Handshake: desk.FilterHandshake,
		Versions:  map[int]plugin.Set{9: desk.FilterV2(nil)},
	})
}
