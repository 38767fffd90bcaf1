package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
	"github.com/tenonrpc/tenon/wire"
)

// This file has both JSON forms of a Reattach: the variable EnvReattach, which package
// wire writes, and tenon's own record, which holds more.

// What can be wrong with a record. For a wrong network, address or protocol the error
// is that of a handshake.
var (
	errReattachJSON   = errors.New("not a reattach configuration in JSON; check that it was copied whole from where it was printed")
	errReattachLimit  = errors.New("over the limits of a reattach configuration")
	errReattachNumber = fmt.Errorf("out of range; a pid is from 1 and a version from 0 to %d", maxPID)
	errReattachFormat = errors.New("unknown format of reattach record; it was written by another version of this library")
)

// providerJSON is a plugin in the variable. Source: Terraform's documentation of
// debugging providers.
type providerJSON struct {
	Protocol        string
	ProtocolVersion int64 // wide, so that the same value means the same everywhere
	Pid             int64
	Test            bool
	Addr            struct{ Network, String string }
}

// parseProviders parses the value of EnvReattach: an object that maps a plugin's name
// (a provider's source address) to how to reach it. Unknown keys are ignored. The
// errors name the plugin.
func parseProviders(value string) (map[string]*Reattach, error) {
	if len(value) > maxRecord {
		return nil, fmt.Errorf("%d bytes: %w", len(value), errReattachLimit)
	}
	var entries map[string]*providerJSON
	if err := json.Unmarshal([]byte(value), &entries); err != nil || entries == nil {
		return nil, badReattachJSON(value, err)
	}
	if len(entries) > maxProviders {
		return nil, fmt.Errorf("%d plugins: %w", len(entries), errReattachLimit)
	}
	plugins := make(map[string]*Reattach, len(entries))
	// Sorted, so that the same one of several faults is always reported.
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		e := entries[name]
		if len(name) > maxProviderName {
			return nil, fmt.Errorf("plugin %s: name %w", wire.Quote(name), errReattachLimit)
		}
		if e == nil {
			return nil, fmt.Errorf("plugin %s: null: %w", wire.Quote(name), errReattachJSON)
		}
		r, err := e.record()
		if err != nil {
			return nil, fmt.Errorf("plugin %s: %w", wire.Quote(name), err)
		}
		plugins[name] = r
	}
	return plugins, nil
}

// badReattachJSON returns the error for JSON that encoding/json refused with err. It
// names the key whose type is wrong, if that is the reason.
func badReattachJSON(value string, err error) error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) && wrongType.Field != "" {
		return fmt.Errorf("key %s holds the wrong type, %s: %w", wire.Quote(wrongType.Field), wire.Quote(wrongType.Value), errReattachJSON)
	}
	if strings.Contains(value, "HostKey") { // a secret may follow
		return fmt.Errorf("%d bytes: %w", len(value), errReattachJSON)
	}
	return fmt.Errorf("%s: %w", wire.Quote(value), errReattachJSON)
}

// record checks what both forms share, and returns the record.
func (e *providerJSON) record() (*Reattach, error) {
	switch e.Protocol {
	case wire.ProtocolGRPC:
	case hostwire.ProtocolNetRPC, "": // upstream takes no protocol for net/rpc
		return nil, fmt.Errorf("protocol %s: %w", wire.Quote(e.Protocol), hostwire.ErrNetRPC)
	default:
		return nil, fmt.Errorf("protocol %s: %w", wire.Quote(e.Protocol), hostwire.ErrProtocol)
	}
	network, address := e.Addr.Network, e.Addr.String
	if network != wire.NetworkUnix && network != wire.NetworkTCP {
		return nil, fmt.Errorf("network %s: %w", wire.Quote(network), hostwire.ErrNetwork)
	}
	if !wire.ValidAddress(network, address) || wire.ControlByte(address) >= 0 {
		return nil, fmt.Errorf("address %s: %w", wire.Quote(address), hostwire.ErrAddress)
	}
	if e.Pid < 1 || e.Pid > maxPID {
		return nil, fmt.Errorf("pid %d: %w", e.Pid, errReattachNumber)
	}
	if e.ProtocolVersion < 0 || e.ProtocolVersion > wire.MaxVersion {
		return nil, fmt.Errorf("version %d: %w", e.ProtocolVersion, errReattachNumber)
	}
	return &Reattach{
		Protocol: e.Protocol, ProtocolVersion: int(e.ProtocolVersion), PID: int(e.Pid),
		Test: e.Test, Network: network, Address: address,
	}, nil
}

// recordFormat is the version of tenon's own form.
const recordFormat = 1

type recordJSON struct {
	Format int64 `json:"tenon_reattach"`
	providerJSON
	StartTime   uint64
	BootID      string
	Multiplexed bool
	Certificate []byte
	// The secret is last, so that it is not in what errors quote.
	HostCertificate []byte `json:",omitempty"`
	HostKey         []byte `json:",omitempty"`
}

// parseRecord parses what appendRecord wrote and keeps nothing of b. Unknown keys are
// errors, since a record is security-relevant.
func parseRecord(b []byte) (*Reattach, error) {
	r, err := parseRecordJSON(b)
	if err != nil {
		return nil, fmt.Errorf("reattach record: %w", err)
	}
	return r, nil
}

func parseRecordJSON(b []byte) (*Reattach, error) {
	if len(b) > maxRecord {
		return nil, fmt.Errorf("%d bytes: %w", len(b), errReattachLimit)
	}
	// The format comes first, parsed loosely: a newer one may have keys unknown here.
	// This also refuses bytes after the object, which a Decoder would not see.
	var format struct {
		Format int64 `json:"tenon_reattach"`
	}
	if err := json.Unmarshal(b, &format); err != nil {
		return nil, badReattachJSON(string(b), err)
	}
	if format.Format != recordFormat {
		return nil, fmt.Errorf("format %d: %w", format.Format, errReattachFormat)
	}
	var e recordJSON
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil {
		return nil, badReattachJSON(string(b), err)
	}
	r, err := e.record()
	if err != nil {
		return nil, err
	}
	r.StartTime, r.BootID, r.Multiplexed = e.StartTime, e.BootID, e.Multiplexed
	if len(e.Certificate) > 0 {
		r.Certificate = e.Certificate
	}
	if len(r.BootID) > maxBootID || wire.ControlByte(r.BootID) >= 0 {
		return nil, fmt.Errorf("boot id %s: %w", wire.Quote(r.BootID), errReattachLimit)
	}
	if len(e.HostCertificate) > 0 {
		r.HostCertificate = e.HostCertificate
	}
	if len(e.HostKey) > 0 {
		r.HostKey = e.HostKey
	}
	if len(r.Certificate) > wire.MaxCertificate || len(r.HostCertificate) > wire.MaxCertificate {
		return nil, hostwire.ErrCertificateTooLarge
	}
	if len(r.HostKey) > maxHostKey {
		return nil, fmt.Errorf("the host's key has %d bytes: %w", len(r.HostKey), errReattachLimit)
	}
	return r, nil
}

// appendRecord appends the record as one line of JSON, with its newline. It does
// not check the record.
func appendRecord(b []byte, r *Reattach) []byte {
	e := recordJSON{
		Format: recordFormat,
		providerJSON: providerJSON{
			Protocol: r.Protocol, ProtocolVersion: int64(r.ProtocolVersion), Pid: int64(r.PID), Test: r.Test,
		},
		StartTime: r.StartTime, BootID: r.BootID, Multiplexed: r.Multiplexed,
		Certificate: r.Certificate, HostCertificate: r.HostCertificate, HostKey: r.HostKey,
	}
	e.Addr.Network, e.Addr.String = r.Network, r.Address
	text, err := json.Marshal(e)
	if err != nil {
		panic(err) // it is made of numbers, strings and bytes, which have JSON
	}
	return append(append(b, text...), '\n')
}
