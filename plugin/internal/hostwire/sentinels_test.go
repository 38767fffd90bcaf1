package hostwire_test

import (
	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
)

// sentinels are the errors that the vectors' "expect:" may name.
var sentinels = map[string]error{
	"ErrAddress":             hostwire.ErrAddress,
	"ErrBase64":              hostwire.ErrBase64,
	"ErrCertificateTooLarge": hostwire.ErrCertificateTooLarge,
	"ErrControlByte":         hostwire.ErrControlByte,
	"ErrCoreVersion":         hostwire.ErrCoreVersion,
	"ErrEmptyLine":           hostwire.ErrEmptyLine,
	"ErrFieldCount":          hostwire.ErrFieldCount,
	"ErrLineTooLong":         hostwire.ErrLineTooLong,
	"ErrMux":                 hostwire.ErrMux,
	"ErrNetRPC":              hostwire.ErrNetRPC,
	"ErrNetwork":             hostwire.ErrNetwork,
	"ErrNotHandshake":        hostwire.ErrNotHandshake,
	"ErrProtocol":            hostwire.ErrProtocol,
	"ErrVersionSyntax":       hostwire.ErrVersionSyntax,
}
