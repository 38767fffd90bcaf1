//go:build unix

package files

import (
	"io/fs"
	"syscall"
)

// HasModes reports whether the modes of files determine who may do what.
const HasModes = true

// owner returns the user who owns a file.
func owner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// device returns the file system that a file is on.
func device(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev)
	}
	return 0
}
