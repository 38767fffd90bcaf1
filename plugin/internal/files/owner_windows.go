package files

import "io/fs"

// Who owns a file is not for a mode to say here.
func owner(fs.FileInfo) int { return -1 }

func device(fs.FileInfo) uint64 { return 0 }
