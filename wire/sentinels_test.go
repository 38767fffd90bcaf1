package wire_test

import "github.com/tenonrpc/tenon/wire"

// sentinels are the errors that the vectors' "expect:" may name.
var sentinels = map[string]error{
	"ErrClientCert":  wire.ErrClientCert,
	"ErrEnvBool":     wire.ErrEnvBool,
	"ErrEnvControl":  wire.ErrEnvControl,
	"ErrEnvLength":   wire.ErrEnvLength,
	"ErrPort":        wire.ErrPort,
	"ErrPortRange":   wire.ErrPortRange,
	"ErrVersionList": wire.ErrVersionList,
	"ErrBin":         wire.ErrBin,
	"ErrLifeline":    wire.ErrLifeline,
	"ErrPrefixFlag":  wire.ErrPrefixFlag,
	"ErrShortPrefix": wire.ErrShortPrefix,
	"ErrTimeout":     wire.ErrTimeout,
}
