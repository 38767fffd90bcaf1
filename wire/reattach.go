package wire

import (
	"maps"
	"slices"
	"strconv"
)

// Reattach is how to reach one running plugin, in the form that Terraform and OpenTofu
// read from EnvReattach. Source: Terraform's documentation of debugging providers.
type Reattach struct {
	Protocol        string // always "grpc"
	ProtocolVersion int    // the application's; 0 if the writer did not say
	PID             int    // the plugin's; nothing proves that it is still the same process
	Test            bool   // the plugin belongs to a test: never end it
	Network         string // "unix" or "tcp"
	Address         string // a path or host:port, at most 4096 bytes
}

// AppendReattach appends the value of EnvReattach for plugins, in the order of their
// names. It does not check them. Like AppendLogLine it does not use encoding/json,
// because plugins print it.
func AppendReattach(b []byte, plugins map[string]Reattach) []byte {
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(plugins)) {
		if i > 0 {
			b = append(b, ',')
		}
		r := plugins[name]
		b = appendJSONString(b, name)
		b = append(b, `:{"Protocol":`...)
		b = appendJSONString(b, r.Protocol)
		b = append(b, `,"ProtocolVersion":`...)
		b = strconv.AppendInt(b, int64(r.ProtocolVersion), 10)
		b = append(b, `,"Pid":`...)
		b = strconv.AppendInt(b, int64(r.PID), 10)
		b = append(b, `,"Test":`...)
		b = strconv.AppendBool(b, r.Test)
		b = append(b, `,"Addr":{"Network":`...)
		b = appendJSONString(b, r.Network)
		b = append(b, `,"String":`...)
		b = appendJSONString(b, r.Address)
		b = append(b, '}', '}')
	}
	return append(b, '}')
}
