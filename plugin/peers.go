package plugin

import (
	"os"
	"slices"

	"github.com/tenonrpc/tenon/plugin/internal/peercred"
	"github.com/tenonrpc/tenon/plugin/internal/procid"
	"github.com/tenonrpc/tenon/wire"
)

// peers says who may connect to the plugin's sockets, and listen where it
// connects to: its own user, that of the host, and ServeConfig.AllowUIDs. Where
// the host opens the sockets to a group, the group is who may.
//
// Without TLS nothing else tells a host from other programs of the same users.
// There it must be a process that the plugin descends from, if its parent is
// one to go by: the first process of a system or a container adopts everyone. A
// plugin that may have a second host later, or serves for tests, cannot know
// which process that will be.
func (p *process) peers(c *ServeConfig, env wire.Env, plaintext bool) *peercred.Policy {
	if env.UnixSocketGroup != "" {
		return nil
	}
	policy := &peercred.Policy{UIDs: append([]int{os.Geteuid()}, c.AllowUIDs...)}
	if !p.real {
		return policy
	}
	policy.UIDs = append(policy.UIDs, hostUsers()...)
	if plaintext && !c.OutliveHost && env.Lifeline != wire.LifelineNone {
		if up := procid.Ancestors(os.Getpid()); len(up) > 0 && up[0] > 1 {
			policy.PID = func(pid int) bool { return slices.Contains(up, pid) }
		}
	}
	return policy
}

// hostUsers returns who the host runs as: the user of the parent process, and
// the one who made the pipe that is the plugin's stdout. Each is the host's
// even where the other is that of a wrapper, or cannot be seen.
func hostUsers() []int {
	var uids []int
	if parent := os.Getppid(); parent > 1 {
		if uid, ok := procid.User(parent); ok && os.Getppid() == parent {
			uids = append(uids, uid)
		}
	}
	if uid, ok := pipeOwner(os.Stdout); ok {
		uids = append(uids, uid)
	}
	return uids
}
