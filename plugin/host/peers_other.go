//go:build !linux

package host

import "syscall"

func outsideUser(uid int, _ *syscall.SysProcAttr) int { return uid }

func outsideGroup(gid int, _ *syscall.SysProcAttr) int { return gid }
