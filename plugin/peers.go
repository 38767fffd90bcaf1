package plugin

import (
	"os"
	"slices"

	"github.com/tenonrpc/tenon/plugin/internal/peercred"
	"github.com/tenonrpc/tenon/plugin/internal/procid"
	"github.com/tenonrpc/tenon/wire"
)

// peers says who may connect to the plugin's sockets, and listen where it connects
// to: its own user, that of the host, and ServeConfig.Sockets.AllowUIDs. Where the
// host opens the sockets to a group, the group is who may.
//
// Without TLS nothing else tells a host from other programs of the same users.
// There it must be a process that the plugin descends from, if its parent is
// one to go by: the first process of a system or a container adopts everyone. A
// plugin that may have a second host later, or serves for tests, cannot know
// which process that will be.
//
// What takes long to find out is found out when somebody connects who is not
// simply the parent with this user's id: hardly ever.
func (p *process) peers(c *ServeConfig, env wire.Env, plaintext bool) *peercred.Policy {
	if env.UnixSocketGroup != "" {
		return nil
	}
	policy := &peercred.Policy{UIDs: append([]int{os.Geteuid()}, c.Sockets.AllowUIDs...)}
	if !p.real {
		return policy
	}
	// Who the host runs as: the one who made the pipe that is the plugin's stdout,
	// and the user of the parent process. Each is the host's even where the other
	// is that of a wrapper, or cannot be seen.
	if uid, ok := pipeOwner(os.Stdout); ok {
		policy.UIDs = append(policy.UIDs, uid)
	}
	parent := os.Getppid()
	if parent <= 1 {
		return policy
	}
	policy.MoreUID = func() (uid int, ok bool) {
		uid, ok = procid.User(parent)
		return uid, ok && os.Getppid() == parent
	}
	if plaintext && !c.OutliveHost && env.Lifeline != wire.LifelineNone {
		policy.PID = func(pid int) bool {
			return pid == parent && os.Getppid() == parent ||
				slices.Contains(procid.Ancestors(os.Getpid()), pid) || !procid.Known()
		}
	}
	return policy
}
