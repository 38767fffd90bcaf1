//go:build !linux

package host_test

// playAttacker is for systems that report who is at the other end of a socket.
func playAttacker() {}

func listensAsAnother() {}

func hostWithoutMemfd() {}

func namesItsProgram() {}
