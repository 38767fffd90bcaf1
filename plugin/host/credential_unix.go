//go:build unix

package host

import "syscall"

// credential returns the user and group that attr makes the plugin run as, if any.
func credential(attr *syscall.SysProcAttr) (uid, gid int, ok bool) {
	if attr == nil || attr.Credential == nil {
		return 0, 0, false
	}
	return int(attr.Credential.Uid), int(attr.Credential.Gid), true
}
