//go:build !unix

package h2

import "errors"

// Elsewhere a goroutine of its own writes; see Conn.flushLocked.
const canTryWrite = false

func tryWrite(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
