package host

import "syscall"

func credential(*syscall.SysProcAttr) (uid, gid int, ok bool) { return 0, 0, false }
