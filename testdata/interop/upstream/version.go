//go:build !oldgoplugin

package upstream

import (
	"github.com/hashicorp/go-plugin"

	"github.com/tenonrpc/tenon/plugin/interop/cases"
)

// Version is the version that this is.
const Version = "v1.8.0"

// BuildFlags are the flags of go that build with this version.
var BuildFlags []string

// HonoursSocketDir says whether this version puts all of its sockets where the
// host asks for them: since v1.5.1.
const HonoursSocketDir = true

// Modes are the modes that this version has.
var Modes = []cases.Mode{{}, {AutoMTLS: true}, {Multiplex: true}, {AutoMTLS: true, Multiplex: true}}

// Examples are go-plugin's examples over gRPC that this version has.
var Examples = []string{"grpc", "bidirectional", "negotiated", "streaming"}

func setMultiplex(c *plugin.ClientConfig, on bool) { c.GRPCBrokerMultiplex = on }

func setGroup(c *plugin.ClientConfig, group string) {
	if group != "" {
		c.UnixSocketConfig = &plugin.UnixSocketConfig{Group: group}
	}
}
