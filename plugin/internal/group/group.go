// Package group gives sockets to a group of users, so that a host and a plugin that run
// as different users can share them.
package group

import (
	"io/fs"
	"os/user"
	"strconv"
)

// The modes of what belongs to a group: the protocol's own, and the sticky bit, so that
// no member of the group can replace another's socket.
const (
	DirMode    = 0o770 | fs.ModeSticky
	SocketMode = 0o660
)

// ID returns the number of a group, given by name or number. A name that looks like a
// number is tried as a name first, as in chgrp.
func ID(group string) (int, error) {
	g, err := user.LookupGroup(group)
	if err != nil {
		if id, numErr := strconv.ParseUint(group, 10, 31); numErr == nil {
			return int(id), nil
		}
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}
