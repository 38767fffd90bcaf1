package plugin

import (
	"os"
	"syscall"
)

var setConsoleCtrlHandler = syscall.NewLazyDLL("kernel32.dll").NewProc("SetConsoleCtrlHandler")

// catchBreak has CTRL_BREAK end the plugin, as SIGTERM does elsewhere: it is all that
// a host can send it here. Package os/signal takes it for SIGINT, which a plugin
// leaves to its host. The handler that was added last is called first.
func catchBreak(end chan<- os.Signal) {
	handler := syscall.NewCallback(func(event uint32) uintptr {
		if event != syscall.CTRL_BREAK_EVENT {
			return 0 // somebody else's
		}
		select {
		case end <- syscall.SIGTERM:
		default: // there is one already
		}
		return 1
	})
	// Without a console there is nothing to catch.
	setConsoleCtrlHandler.Call(handler, 1)
}
