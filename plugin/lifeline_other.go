//go:build !unix

package plugin

import (
	"errors"
	"os"

	"github.com/tenonrpc/tenon/wire"
)

// openLifeline fails: hosts on this system cannot hand down descriptors, and
// send no lifeline.
func openLifeline(wire.Lifeline) (*os.File, error) { return nil, errors.ErrUnsupported }

func openOutput(wire.Lifeline) (*os.File, error) { return nil, errors.ErrUnsupported }

// watchParent waits for the end of the parent process. Windows lets any process
// be waited for, and never tells of another parent than the first.
func (w *hostWatch) watchParent(parent int) {
	proc, err := os.FindProcess(parent)
	if err != nil {
		w.orphan() // it has ended already
		return
	}
	// The goroutine goes on as long as the parent, if the watch ends first: for
	// what little is left of this process's life.
	go func() {
		if _, err := proc.Wait(); err == nil {
			w.orphan()
		}
	}()
}

func pipeOwner(*os.File) (uid int, ok bool) { return 0, false }
