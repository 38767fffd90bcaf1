package plugin

import (
	"fmt"
	"io"
	"net"
	"os"

	"github.com/tenonrpc/tenon/plugin/internal/procid"
	"github.com/tenonrpc/tenon/wire"
)

// TestMode serves a plugin that no host has started, such as one under a debugger or one
// within an application's tests. Hosts attach to it with its record, in plaintext unless
// ServeConfig.TLS is set. They do not end it; it ends with the context of [ServeContext],
// with SIGTERM, or with SIGINT. Its output goes where it always goes, the magic cookie is
// not checked, and nothing of the process is changed: any number of plugins can be served
// in one process. Of several protocol versions the highest is served, unless
// PLUGIN_PROTOCOL_VERSIONS in the environment lists the versions of the hosts that are to
// attach, as in "1" or "1,2"; the record says which version is served.
type TestMode struct {
	// Name is the plugin's name in the text printed when Ready is nil.
	Name string
	// Ready is called once hosts can attach, with the record for host.Config.Reattach. It
	// must return. If it is nil, the value of TF_REATTACH_PROVIDERS, by which Terraform
	// and OpenTofu find the plugin, is printed to stdout for a person to copy.
	Ready func(Reattach)
}

// announce passes the record to Ready, or prints how to attach to the plugin.
func (m *TestMode) announce(stdout io.Writer, version int, addr net.Addr, certificate []byte) error {
	r := Reattach{
		Protocol: wire.ProtocolGRPC, ProtocolVersion: version, PID: os.Getpid(), Test: true,
		Network: addr.Network(), Address: addr.String(),
		Certificate: certificate,
	}
	if id, ok := procid.Of(r.PID); ok {
		r.StartTime, r.BootID = id.StartTime, id.BootID
	}
	if m.Ready != nil {
		m.Ready(r)
		return nil
	}
	value := wire.AppendReattach(nil, map[string]wire.Reattach{m.Name: {
		Protocol: r.Protocol, ProtocolVersion: r.ProtocolVersion, PID: r.PID,
		Test: r.Test, Network: r.Network, Address: r.Address,
	}})
	if _, err := fmt.Fprintf(stdout, "The plugin waits for hosts. Start them with this in their environment:\n\n\t%s='%s'\n\n", wire.EnvReattach, value); err != nil {
		return fmt.Errorf("plugin: printing where the plugin is: %w", err)
	}
	return nil
}
