//go:build unix

package host

import "syscall"

// executable returns an error unless this process may execute the file at path, by its
// mode and by how its file system is mounted: a copy loses both.
func executable(path string) error {
	const mayExecute = 1 // X_OK
	return syscall.Access(path, mayExecute)
}

// wholeName returns path: names of programs are complete.
func wholeName(path string) string { return path }

// otherUser reports whether attr makes the plugin run as another user.
func otherUser(attr *syscall.SysProcAttr) bool { return attr != nil && attr.Credential != nil }

// chrooted reports whether attr gives the plugin another root directory.
func chrooted(attr *syscall.SysProcAttr) bool { return attr != nil && attr.Chroot != "" }
