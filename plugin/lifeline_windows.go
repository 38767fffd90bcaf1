package plugin

import (
	"os"

	"github.com/tenonrpc/tenon/plugin/internal/winpipe"
	"github.com/tenonrpc/tenon/wire"
)

// openLifeline takes over the handle of a lifeline.
func openLifeline(l wire.Lifeline) (*os.File, error) { return winpipe.Open(l) }

// openOutput takes over the handle of a pipe for the plugin's output.
func openOutput(l wire.Lifeline) (*os.File, error) { return winpipe.Open(l) }

// watchParent waits for the end of the parent process. Windows allows waiting for any
// process, and never reports another parent than the first.
func (w *hostWatch) watchParent(parent int) {
	proc, err := os.FindProcess(parent)
	if err != nil {
		w.orphan() // it has ended already
		return
	}
	// If the watch ends first, the goroutine goes on as long as the parent: for the
	// little that is left of this process's life.
	go func() {
		if _, err := proc.Wait(); err == nil {
			w.orphan()
		}
	}()
}

func pipeOwner(*os.File) (uid int, ok bool) { return 0, false }
