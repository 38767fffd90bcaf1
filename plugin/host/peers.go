package host

import (
	"context"
	"net"
	"os"
	"slices"

	"github.com/tenonrpc/tenon/plugin/internal/peercred"
	"github.com/tenonrpc/tenon/plugin/internal/procid"
)

// peers says who may be at the other end of the plugin's sockets, and of this
// host's. See Config.AllowUIDs.
func (c *Client) peers() *peercred.Policy {
	s := c.settings
	if s.group != nil {
		return nil
	}
	attr := s.recipe.cmd.SysProcAttr
	policy := &peercred.Policy{UIDs: append([]int{os.Geteuid()}, s.allowUIDs...)}
	if uid, _, ok := credential(attr); ok {
		policy.UIDs = append(policy.UIDs, outsideUser(uid, attr))
	}
	// Without TLS nothing else tells the plugin from other programs of its user.
	if s.plaintext && s.runner == nil && s.reattach == nil && !s.detach {
		policy.PID = func(pid int) bool {
			return pid == c.proc.pid || slices.Contains(procid.Ancestors(pid), c.proc.pid)
		}
	}
	return policy
}

// dial connects to an address that the plugin named, as this host sees it.
func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if c.settings.ownDial {
		return c.settings.dial(ctx, network, address)
	}
	return c.peers().Dialer(c.settings.dial)(ctx, network, address)
}
