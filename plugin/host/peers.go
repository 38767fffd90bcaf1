package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"github.com/tenonrpc/tenon/plugin/internal/peercred"
	"github.com/tenonrpc/tenon/plugin/internal/procid"
	"github.com/tenonrpc/tenon/wire"
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

// dialer connects to where plugins say that they are: on this machine, unless
// remote. A plugin must not make its host speak to others on the network, a name
// server included, so names are not looked up to see what they mean.
type dialer struct{ remote bool }

func localDialer(remote bool) dialer { return dialer{remote} }

// DialContext has the form of net.Dialer's.
func (d dialer) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	if network != wire.NetworkTCP {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	addresses, err := d.tcp(address)
	if err != nil {
		return nil, err
	}
	for i, a := range addresses {
		c, failed := new(net.Dialer).DialContext(ctx, network, a)
		if failed == nil {
			return c, nil
		}
		if i == 0 { // the others are but there for those that listen nowhere else
			err = failed
		}
	}
	return nil, err
}

// tcp returns what to dial for an address that a plugin announced, one after the
// other. Its error wraps errRemote if that is not to be dialled.
func (d dialer) tcp(address string) ([]string, error) {
	name, port, err := net.SplitHostPort(address)
	if n, notNumber := strconv.ParseUint(port, 10, 16); err != nil || notNumber != nil || n == 0 {
		return nil, fmt.Errorf("the address is not HOST:PORT with a port from 1 to %d: %s", wire.MaxPort, quoted(address))
	}
	v4, v6 := net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)
	ip, notIP := netip.ParseAddr(name)
	switch ip = ip.Unmap().WithZone(""); {
	case name == "", name == "localhost", ip == netip.IPv6Unspecified():
		return []string{v4, v6}, nil
	case ip == netip.IPv4Unspecified():
		return []string{v4}, nil
	case d.remote:
		return []string{address}, nil
	case notIP != nil, !ip.IsLoopback():
		return nil, fmt.Errorf("%w: %s", errRemote, quoted(address))
	}
	return []string{net.JoinHostPort(ip.String(), port)}, nil
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
