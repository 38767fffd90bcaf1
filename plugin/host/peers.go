package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"

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

// localDialer returns a dialer that connects to this machine only, or to any
// with remote. The plugin says where: it must not make its host speak to others
// on the network. What is looked at is what a name has turned out to mean.
func localDialer(remote bool) *net.Dialer {
	if remote {
		return new(net.Dialer)
	}
	return &net.Dialer{Control: func(network, address string, _ syscall.RawConn) error {
		if !strings.HasPrefix(network, "tcp") {
			return nil
		}
		if to, err := netip.ParseAddrPort(address); err != nil || !to.Addr().Unmap().IsLoopback() {
			return fmt.Errorf("%w: %s", errRemote, address)
		}
		return nil
	}}
}

// errRemote says that a plugin's TCP address is none of the loopback interface.
var errRemote = errors.New("the address is not one of this machine's loopback interface")

// dial connects to an address that the plugin named, as this host sees it.
func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if c.settings.ownDial {
		return c.settings.dial(ctx, network, address)
	}
	return c.peers().Dialer(c.settings.dial)(ctx, network, address)
}
