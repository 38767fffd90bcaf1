package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/tenonrpc/tenon/plugin/internal/local"
	"github.com/tenonrpc/tenon/plugin/internal/peercred"
	"github.com/tenonrpc/tenon/plugin/internal/procid"
	"github.com/tenonrpc/tenon/wire"
)

// peers returns the policy of who may be at the other end of the plugin's sockets and
// of this host's. See Config.Sockets.AllowUIDs.
func (c *Client) peers() *peercred.Policy {
	s := c.settings
	if s.sockets.gid != nil {
		return nil
	}
	attr := s.target.recipe.cmd.SysProcAttr
	policy := &peercred.Policy{UIDs: append([]int{os.Geteuid()}, s.sockets.AllowUIDs...)}
	if uid, _, ok := credential(attr); ok {
		policy.UIDs = append(policy.UIDs, outsideUser(uid, attr))
	}
	// Without TLS, only the process id distinguishes the plugin from other programs of its user.
	if s.plaintext && s.target.runner == nil && s.target.reattach == nil && !s.target.detach {
		policy.PID = func(pid int) bool {
			return pid == c.proc.pid || slices.Contains(procid.Ancestors(pid), c.proc.pid)
		}
	}
	return policy
}

// dialer connects to the addresses that plugins announce: those on this machine, unless
// remote is set. A plugin must not make its host talk to others on the network, not
// even to a name server, so names are not looked up to check them.
type dialer struct{ remote bool }

func localDialer(remote bool) dialer { return dialer{remote} }

// DialContext is like net.Dialer's. Its error wraps errRemote if the address must not
// be dialled.
func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network != wire.NetworkTCP {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	to, err := local.Parse(address)
	switch {
	case err == nil && !d.remote && !to[0].Addr().IsLoopback(), errors.Is(err, local.ErrName) && !d.remote:
		return nil, fmt.Errorf("%w: %s", errRemote, quoted(address))
	case errors.Is(err, local.ErrName):
		return new(net.Dialer).DialContext(ctx, network, address)
	case err != nil:
		return nil, err
	}
	return local.DialAny(ctx, to)
}

// errRemote reports that a plugin's TCP address is not on the loopback interface.
var errRemote = errors.New("the address is not one of this machine's loopback interface")

// dial connects to an address of the plugin, as translated for this host.
func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if c.settings.sockets.ownDial {
		return c.settings.sockets.Dial(ctx, network, address)
	}
	return c.peers().Dialer(c.settings.sockets.Dial)(ctx, network, address)
}
