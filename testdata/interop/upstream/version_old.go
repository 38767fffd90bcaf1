//go:build oldgoplugin

package upstream

import (
	"github.com/hashicorp/go-plugin"

	"github.com/tenonrpc/tenon/plugin/interop/cases"
)

// Version is the version that this is.
const Version = "v1.4.10"

// BuildFlags are the flags of go that build with this version, at the module's
// top.
var BuildFlags = []string{"-overlay=old.json", "-tags=oldgoplugin"}

// HonoursSocketDir says whether this version puts all of its sockets where the
// host asks for them: not before v1.5.1.
const HonoursSocketDir = false

// Modes are the modes that this version has. Multiplexing came with v1.6.0.
var Modes = []cases.Mode{{}, {AutoMTLS: true}}

// Examples are go-plugin's examples over gRPC that this version has.
var Examples = []string{"grpc", "bidirectional", "negotiated"}

func setMultiplex(*plugin.ClientConfig, bool) {}

// setGroup does nothing: groups came with v1.5.0.
func setGroup(*plugin.ClientConfig, string) {}
