//go:build !unix

package host

import (
	"os"

	"github.com/tenonrpc/tenon/wire"
)

// lifeline is the pipe by which a plugin learns that its host is gone.
type lifeline struct {
	plugin, host *os.File
	id           wire.Lifeline
}

// newLifeline returns none: descriptors cannot be handed down on this system.
func newLifeline(int) (*lifeline, error) { return nil, nil }
