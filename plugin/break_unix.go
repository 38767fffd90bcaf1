//go:build unix

package plugin

import "os"

// catchBreak has nothing to do: it is for Windows.
func catchBreak(chan<- os.Signal) {}
