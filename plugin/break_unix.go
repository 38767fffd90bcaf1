//go:build unix

package plugin

import "os"

// catchBreak does nothing: only Windows needs it.
func catchBreak(chan<- os.Signal) {}
