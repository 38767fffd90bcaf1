//go:build unix

package h2

import "syscall"

const canTryWrite = true

// tryWrite writes what a non-blocking socket accepts at once; zero bytes and no error
// means that it accepts none now.
func tryWrite(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), p)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, err
		}
	}
}
