// Package group gives sockets to a group of users, by which a host and a plugin
// that run as different users can share them.
package group

import (
	"io/fs"
	"os/user"
	"strconv"
)

// The modes of what belongs to a group: the protocol's own, and the sticky bit, so
// that nobody of the group can put something else where another has a socket.
const (
	DirMode    = 0o770 | fs.ModeSticky
	SocketMode = 0o660
)

// ID returns the number of a group that is given by name or number. A name that
// looks like a number is a name first, as in chgrp.
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
