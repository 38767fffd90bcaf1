package plugin

import (
	"os"
	"syscall"
)

var setConsoleCtrlHandler = syscall.NewLazyDLL("kernel32.dll").NewProc("SetConsoleCtrlHandler")

// catchBreak lets CTRL_BREAK end the plugin, as SIGTERM does elsewhere: it is the only
// such event that a host can send on Windows. Package os/signal would report it as
// SIGINT, which a plugin leaves to its host. The handler that was added last is called
// first.
func catchBreak(end chan<- os.Signal) {
	handler := syscall.NewCallback(func(event uint32) uintptr {
		if event != syscall.CTRL_BREAK_EVENT {
			return 0 // for another handler
		}
		select {
		case end <- syscall.SIGTERM:
		default: // one is waiting already
		}
		return 1
	})
	// Without a console there are no events, and the call fails.
	setConsoleCtrlHandler.Call(handler, 1)
}
