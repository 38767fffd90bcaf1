//go:build !unix

package h2

import "errors"

// On other systems a goroutine of its own writes; see Conn.flushLocked.
const canTryWrite = false

func tryWrite(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
