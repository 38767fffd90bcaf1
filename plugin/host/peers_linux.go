package host

import "syscall"

// outsideUser returns the plugin's user as this process sees it, if attr gives the
// plugin a user namespace of its own: user_namespaces(7).
func outsideUser(uid int, attr *syscall.SysProcAttr) int {
	for _, m := range attr.UidMappings {
		if uid >= m.ContainerID && uid-m.ContainerID < m.Size {
			return m.HostID + uid - m.ContainerID
		}
	}
	return uid
}

// outsideGroup is outsideUser for the plugin's group.
func outsideGroup(gid int, attr *syscall.SysProcAttr) int {
	for _, m := range attr.GidMappings {
		if gid >= m.ContainerID && gid-m.ContainerID < m.Size {
			return m.HostID + gid - m.ContainerID
		}
	}
	return gid
}
