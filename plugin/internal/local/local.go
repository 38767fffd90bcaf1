// Package local dials addresses that a peer has announced, without name lookups: a peer
// must not make this process query name servers, and programs that serve plugins do not
// link the resolver.
package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// ErrName reports an address with a name that would have to be looked up.
var ErrName = errors.New("the address has a name other than localhost, and names are not looked up")

// Parse returns the addresses that a TCP address stands for, to be dialled one after the
// other. Its host must be a literal IP address or localhost; an unspecified one, as of
// listeners on all interfaces ([::]:10000), means this machine. For other names the error
// wraps ErrName. Errors quote the address.
func Parse(address string) ([]netip.AddrPort, error) {
	host, number, err := net.SplitHostPort(address)
	port, notNumber := strconv.ParseUint(number, 10, 16)
	if err != nil || notNumber != nil || port == 0 {
		return nil, fmt.Errorf("the address is not HOST:PORT with a port from 1 to 65535: %s", quoted(address))
	}
	v4 := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
	v6 := netip.AddrPortFrom(netip.IPv6Loopback(), uint16(port))
	ip, err := netip.ParseAddr(host)
	switch ip = ip.Unmap(); {
	case host == "", host == "localhost", ip == netip.IPv6Unspecified():
		return []netip.AddrPort{v4, v6}, nil
	case ip == netip.IPv4Unspecified():
		return []netip.AddrPort{v4}, nil
	case err != nil:
		return nil, fmt.Errorf("%w: %s", ErrName, quoted(address))
	}
	return []netip.AddrPort{netip.AddrPortFrom(ip, uint16(port))}, nil
}

// Dial connects to a unix socket, or to what Parse returns for a TCP address.
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if strings.HasPrefix(network, "unix") {
		return asConn(new(net.Dialer).DialUnix(ctx, network, nil, &net.UnixAddr{Net: network, Name: address}))
	}
	to, err := Parse(address)
	if err != nil {
		return nil, err
	}
	return DialAny(ctx, to)
}

// DialAny connects to the first of the addresses that answers. The error is that of the
// first address: the others are only for listeners that listen nowhere else.
func DialAny(ctx context.Context, to []netip.AddrPort) (net.Conn, error) {
	var first error
	for _, a := range to {
		conn, err := new(net.Dialer).DialTCP(ctx, "tcp", netip.AddrPort{}, a)
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// asConn keeps a nil connection from becoming an interface that is not nil.
func asConn(conn *net.UnixConn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// quoted quotes a bounded part of a peer's text.
func quoted(s string) string {
	const most = 128
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
