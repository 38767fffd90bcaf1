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

// Reattach is the record of a plugin that runs, for Config.Reattach. One made with
// [Client.ReattachWithKey] holds a secret: keep it in a file of [WriteReattach],
// and out of logs.
type Reattach = plugin.Reattach

// Reattach returns the record with which a host can attach to the plugin again,
// except for the secret that it takes under AutoMTLS: see ReattachWithKey.
//
// It fails for plugins with Config.Multiplex, which serve one connection only
// and end with it, and for those that a Runner has launched, which have no
// process id here.
func (c *Client) Reattach() (*Reattach, error) {
	r, err := c.record()
	if err != nil {
		return nil, err
	}
	r.HostCertificate, r.HostKey = nil, nil
	return r, nil
}

// ReattachWithKey is Reattach with the host's certificate and private key,
// which the plugin asks for under AutoMTLS. Whoever has the record can use the
// plugin, and no other: each has a key pair of the host's to itself. Without
// AutoMTLS there is no key, and the record is that of Reattach. It fails where
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
		return nil, errors.New("host: a plugin that a Runner has launched cannot be attached to again: it has no process id that would tell whether it still runs")
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

// WriteReattach writes a record to a file that only this user can read (mode
// 0600; on Windows, whoever may read the files of its directory: choose one below
// the user's own, such as os.UserCacheDir). A file that is there is replaced in one step, and stays as it was if
// that fails.
func WriteReattach(path string, r *Reattach) error {
	if err := files.Replace(path, appendRecord(nil, r)); err != nil {
		return fmt.Errorf("host: writing a reattach record: %w", err)
	}
	return nil
}

// ReadReattach reads a record from a file. It refuses a file that others could
// write, because whoever does so chooses what this host talks to: one that does
// not belong to this process's user, or root, and one whose mode lets others write
// it. It refuses one with a key that others could read, too. Windows has no such
// owners and modes.
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
	case !hasModes:
	case mode&0o022 != 0:
		return nil, fmt.Errorf("host: %q has mode %04o: others can write it, and choose what is attached to; chmod 600 protects it", path, mode)
	case mode&0o044 != 0 && len(r.HostKey) > 0:
		return nil, fmt.Errorf("host: %q has mode %04o: it holds a private key, and others can read it; the key is to be given up, and the plugin started anew", path, mode)
	}
	return r, nil
}

// ParseProviders reads the value of the variable TF_REATTACH_PROVIDERS, by
// which Terraform and OpenTofu are told of plugins that run already: a record
// for each, by name. Such plugins are in plaintext, so that a Config for them
// needs InsecurePlaintext; nothing proves that a process is the one that is
// meant, so that it is never killed.
func ParseProviders(value string) (map[string]*Reattach, error) {
	plugins, err := parseProviders(value)
	if err != nil {
		return nil, fmt.Errorf("host: %s: %w", wire.EnvReattach, err)
	}
	return plugins, nil
}

// FormatProviders returns the value of that variable for plugins, by name. It
// fails for plugins with TLS, of which the variable cannot tell.
func FormatProviders(plugins map[string]*Reattach) (string, error) {
	bare := make(map[string]wire.Reattach, len(plugins))
	for name, r := range plugins {
		if len(r.Certificate) > 0 {
			return "", fmt.Errorf("host: %s cannot tell of the plugin %q: it uses TLS, and there is no place for its certificate; start it with InsecurePlaintext", wire.EnvReattach, name)
		}
		bare[name] = wire.Reattach{
			Protocol: r.Protocol, ProtocolVersion: r.ProtocolVersion, PID: r.PID,
			Test: r.Test, Network: r.Network, Address: r.Address,
		}
	}
	return string(wire.AppendReattach(nil, bare)), nil
}
