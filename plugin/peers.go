package plugin

import (
	"os"
	"slices"

	"github.com/tenonrpc/tenon/plugin/internal/peercred"
	"github.com/tenonrpc/tenon/plugin/internal/procid"
	"github.com/tenonrpc/tenon/wire"
)

// peers returns the policy for who may connect to the plugin's sockets and who may be
// listening where it connects: the plugin's own user, that of the host, and
// ServeConfig.Sockets.AllowUIDs. If the host opens the sockets to a group, the group
// decides instead.
//
// Without TLS nothing else distinguishes a host from other programs of the same users.
// Therefore it must be an ancestor of the plugin's process. That cannot be checked if the
// parent is the first process of a system or a container, which adopts every orphan. A
// plugin that may have a second host later, or serves for tests, cannot know which
// process that will be.
//
// The slow lookups are done only when somebody connects who is not simply the parent
// process with this user's id, which is rare.
func (p *process) peers(c *ServeConfig, env wire.Env, plaintext bool) *peercred.Policy {
	if env.UnixSocketGroup != "" {
		return nil
	}
	policy := &peercred.Policy{UIDs: append([]int{os.Geteuid()}, c.Sockets.AllowUIDs...)}
	if !p.real {
		return policy
	}
	// The host's user is the one who made the pipe that is the plugin's stdout, and also
	// the user of the parent process: either may be the host's when the other belongs to
	// a wrapper or cannot be determined.
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
