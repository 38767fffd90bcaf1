package host

import (
	"errors"
	"fmt"
	"io"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/internal/files"
	"github.com/tenonrpc/tenon/plugin/internal/procid"
	"github.com/tenonrpc/tenon/wire"
)

// Reattach is the record of a running plugin, for Config.Reattach. One made by
// [Client.ReattachWithKey] holds a secret: store it with [WriteReattach], and keep it
// out of logs.
type Reattach = plugin.Reattach

// Reattach returns the record with which a host can attach to the plugin again. It
// lacks the host's key, which attaching requires under AutoMTLS: see ReattachWithKey.
//
// It fails for plugins with Config.Multiplex, which serve one connection only and end
// with it, and for those that a Runner launched, whose process id is not known here.
func (c *Client) Reattach() (*Reattach, error) {
	r, err := c.record()
	if err != nil {
		return nil, err
	}
	r.HostCertificate, r.HostKey = nil, nil
	return r, nil
}

// ReattachWithKey returns the record of Reattach together with the host's certificate
// and private key, which the plugin requires under AutoMTLS. Whoever has the record can
// use this plugin, but no other: the host has a key pair for each. Without AutoMTLS
// there is no key, and the record is that of Reattach. ReattachWithKey fails where
// Reattach does.
func (c *Client) ReattachWithKey() (*Reattach, error) {
	r, err := c.record()
	if err != nil || c.identity == nil {
		return r, err
	}
	key, err := c.identity.Key()
	if err != nil {
		return nil, fmt.Errorf("host: %w", err)
	}
	r.HostCertificate, r.HostKey = c.identity.DER(), key
	return r, nil
}

func (c *Client) record() (*Reattach, error) {
	s := c.settings
	switch {
	case s.target.reattach != nil:
		r := *s.target.reattach
		return &r, nil
	case s.multiplex:
		return nil, errors.New("host: a plugin with Config.Multiplex cannot be attached to again: it serves one connection only, and ends with it")
	case s.target.runner != nil:
		return nil, errors.New("host: a plugin that a Runner has launched cannot be attached to again: it has no process id that would tell whether it is still running")
	}
	r := &Reattach{
		Protocol:        wire.ProtocolGRPC,
		ProtocolVersion: c.terms.version,
		PID:             c.proc.pid,
		Network:         c.terms.network,
		Address:         c.terms.address,
		Certificate:     c.terms.certificate,
	}
	if id, ok := procid.Of(r.PID); ok {
		r.StartTime, r.BootID = id.StartTime, id.BootID
	}
	// As long as this host has not waited for the process, the id is its.
	if c.proc.hasEnded() || procid.Ended(r.PID) {
		return nil, fmt.Errorf("host: %s: %w", c.proc.who(), ErrNotRunning)
	}
	return r, nil
}

// WriteReattach writes a record to a file that only this user can read (mode 0600). An
// existing file is replaced atomically, and stays as it was if that fails. On Windows,
// whoever may read the files of the directory can read the record: choose a directory
// below the user's own, such as os.UserCacheDir.
func WriteReattach(path string, r *Reattach) error {
	if err := files.Replace(path, appendRecord(nil, r), 0o600); err != nil {
		return fmt.Errorf("host: writing a reattach record: %w", err)
	}
	return nil
}

// ReadReattach reads a record from a file. It refuses a file that others can write,
// since they would choose what this host connects to: one that belongs neither to this
// process's user nor to root, or whose mode lets others write it. It also refuses a
// record with a key in a file that others can read. Windows has no such owners and
// modes: nothing is checked there.
func ReadReattach(path string) (*Reattach, error) {
	f, info, err := files.Read(path)
	if err != nil {
		return nil, fmt.Errorf("host: reading a reattach record: %w", err)
	}
	defer f.Close()
	if !files.Trusted(info) {
		return nil, fmt.Errorf("host: %q belongs to another user, who chooses what is attached to; read a record that this user has written", path)
	}
	data := make([]byte, maxRecord+1)
	n, err := io.ReadFull(f, data)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("host: reading a reattach record: %w", err)
	}
	r, err := parseRecord(data[:n])
	if err != nil {
		return nil, fmt.Errorf("host: %q: %w", path, err)
	}
	mode := info.Mode().Perm()
	switch {
	case !files.HasModes:
	case mode&0o022 != 0:
		return nil, fmt.Errorf("host: %q has mode %04o: others can write to it, and so choose what is attached to; chmod 600 protects it", path, mode)
	case mode&0o044 != 0 && len(r.HostKey) > 0:
		return nil, fmt.Errorf("host: %q has mode %04o: it holds a private key, and others can read it; stop using the key, and start the plugin anew", path, mode)
	}
	return r, nil
}

// ParseProviders parses the value of the variable TF_REATTACH_PROVIDERS, by which
// Terraform and OpenTofu learn of plugins that are already running, and returns a
// record for each, by name. An application may have a variable of another name for it.
// Such plugins serve in plaintext, so a Config for them needs
// InsecurePlaintext. Nothing proves that a process is the plugin, so it is never
// killed.
func ParseProviders(value string) (map[string]*Reattach, error) {
	plugins, err := parseProviders(value)
	if err != nil {
		return nil, fmt.Errorf("host: a variable such as %s: %w", wire.EnvReattach, err)
	}
	return plugins, nil
}

// FormatProviders returns the value of the variable TF_REATTACH_PROVIDERS for plugins,
// by name. It fails for plugins with TLS, which the variable cannot describe.
func FormatProviders(plugins map[string]*Reattach) (string, error) {
	bare := make(map[string]wire.Reattach, len(plugins))
	for name, r := range plugins {
		if len(r.Certificate) > 0 {
			return "", fmt.Errorf("host: a variable such as %s cannot describe the plugin %q: it uses TLS, and there is no field for its certificate; start it with InsecurePlaintext", wire.EnvReattach, name)
		}
		bare[name] = wire.Reattach{
			Protocol: r.Protocol, ProtocolVersion: r.ProtocolVersion, PID: r.PID,
			Test: r.Test, Network: r.Network, Address: r.Address,
		}
	}
	return string(wire.AppendReattach(nil, bare)), nil
}
