package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The kinds of reattach faults, for errors.Is. A wrong network, address or
// protocol is ErrNetwork, ErrAddress, ErrNetRPC or ErrProtocol.
var (
	// ErrReattachJSON reports a value that is not the expected JSON.
	ErrReattachJSON = errors.New("not a reattach configuration in JSON; check that it was copied whole from where it was printed")
	// ErrReattachLimit reports a value over one of the MaxReattach limits.
	ErrReattachLimit = errors.New("over the limits of a reattach configuration")
	// ErrReattachNumber reports a pid or version out of range.
	ErrReattachNumber = fmt.Errorf("out of range; a pid is from 1 and a version from 0 to %d", maxPID)
	// ErrReattachFormat reports a record of another format version.
	ErrReattachFormat = errors.New("unknown format of reattach record; it was written by another version of this library")
)

// Reattach is how to reach one plugin that runs already, as Terraform and
// OpenTofu write it into EnvReattach.
type Reattach struct {
	Protocol        string // always "grpc"
	ProtocolVersion int    // the application's; 0 if the writer did not say
	PID             int    // of the plugin; nothing proves that it still is
	Test            bool   // the plugin belongs to a test: never end it
	Network         string // "unix" or "tcp"
	Address         string // a path or host:port, at most MaxAddress bytes
}

// reattachJSON is the JSON form of Reattach. Source: Terraform's documentation
// of debugging providers.
type reattachJSON struct {
	Protocol        string
	ProtocolVersion int64 // wide, so that the same value means the same everywhere
	Pid             int64
	Test            bool
	Addr            reattachAddr
}

type reattachAddr struct {
	Network string
	String  string
}

// ParseReattach reads the value of EnvReattach: an object from a plugin's name
// (a provider's source address) to how to reach it. Unknown keys are ignored.
// The errors wrap the kinds above and those of the handshake, and name the
// plugin; the map is then nil.
func ParseReattach(value string) (map[string]Reattach, error) {
	plugins, err := parseReattach(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", EnvReattach, err)
	}
	return plugins, nil
}

func parseReattach(value string) (map[string]Reattach, error) {
	if len(value) > MaxReattach {
		return nil, fmt.Errorf("%d bytes: %w", len(value), ErrReattachLimit)
	}
	var entries map[string]*reattachJSON
	if err := json.Unmarshal([]byte(value), &entries); err != nil || entries == nil {
		return nil, badReattachJSON(value, err)
	}
	if len(entries) > MaxReattachEntries {
		return nil, fmt.Errorf("%d plugins: %w", len(entries), ErrReattachLimit)
	}
	plugins := make(map[string]Reattach, len(entries))
	// Sorted, so that of several faults the same one is always reported.
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		e := entries[name]
		if len(name) > MaxReattachName {
			return nil, fmt.Errorf("plugin %s: name %w", quote(name), ErrReattachLimit)
		}
		if e == nil {
			return nil, fmt.Errorf("plugin %s: null: %w", quote(name), ErrReattachJSON)
		}
		if err := e.check(); err != nil {
			return nil, fmt.Errorf("plugin %s: %w", quote(name), err)
		}
		plugins[name] = e.value()
	}
	return plugins, nil
}

// badReattachJSON reports JSON that encoding/json refused with err, by the key
// whose type is wrong if that is what it is.
func badReattachJSON(value string, err error) error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) && wrongType.Field != "" {
		return fmt.Errorf("key %s holds the wrong type, %s: %w", quote(wrongType.Field), quote(wrongType.Value), ErrReattachJSON)
	}
	if strings.Contains(value, "HostKey") { // a secret may follow
		return fmt.Errorf("%d bytes: %w", len(value), ErrReattachJSON)
	}
	return fmt.Errorf("%s: %w", quote(value), ErrReattachJSON)
}

// check checks what both reattach forms share.
func (e *reattachJSON) check() error {
	switch e.Protocol {
	case ProtocolGRPC:
	case ProtocolNetRPC, "": // upstream takes no protocol for net/rpc
		return fmt.Errorf("protocol %s: %w", quote(e.Protocol), ErrNetRPC)
	default:
		return fmt.Errorf("protocol %s: %w", quote(e.Protocol), ErrProtocol)
	}
	network, address := e.Addr.Network, e.Addr.String
	if network != NetworkUnix && network != NetworkTCP {
		return fmt.Errorf("network %s: %w", quote(network), ErrNetwork)
	}
	if !validAddress(network, address) || controlByte(address) >= 0 {
		return fmt.Errorf("address %s: %w", quote(address), ErrAddress)
	}
	if e.Pid < 1 || e.Pid > maxPID {
		return fmt.Errorf("pid %d: %w", e.Pid, ErrReattachNumber)
	}
	if e.ProtocolVersion < 0 || e.ProtocolVersion > MaxVersion {
		return fmt.Errorf("version %d: %w", e.ProtocolVersion, ErrReattachNumber)
	}
	return nil
}

// value returns what e says, once it is checked.
func (e *reattachJSON) value() Reattach {
	return Reattach{
		Protocol: e.Protocol, ProtocolVersion: int(e.ProtocolVersion), PID: int(e.Pid),
		Test: e.Test, Network: e.Addr.Network, Address: e.Addr.String,
	}
}

// json returns r's JSON form.
func (r Reattach) json() reattachJSON {
	return reattachJSON{
		Protocol: r.Protocol, ProtocolVersion: int64(r.ProtocolVersion), Pid: int64(r.PID),
		Test: r.Test, Addr: reattachAddr{r.Network, r.Address},
	}
}

// AppendReattach appends the value of EnvReattach for plugins, in the order of
// their names. It does not check them. It is written without encoding/json, as
// AppendLogLine is, because plugins print it.
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

// reattachFormat is the version of ReattachRecord's JSON form.
const reattachFormat = 1

// ReattachRecord is tenon's own record of a running plugin, which says more
// than Reattach: enough to know the process again, to check its certificate,
// and, if it was asked for, to be known by the plugin again.
type ReattachRecord struct {
	Reattach
	// StartTime is when the process started, in the system's own unit (clock
	// ticks since boot on Linux); 0 if it is not known, and then the process
	// must never be signalled.
	StartTime uint64
	// BootID is the boot in which StartTime counts, "" if it is not known.
	BootID string
	// Multiplexed reports that the plugin multiplexes brokered connections.
	Multiplexed bool
	// Certificate is the plugin's certificate in DER, nil without TLS; at
	// most MaxCertificate bytes.
	Certificate []byte
	// HostCertificate is the host's certificate in DER, which the plugin trusts
	// under AutoMTLS, and HostKey its private key in PKCS #8, at most
	// MaxHostKey bytes. HostKey is a secret: whoever has it can use the plugin.
	// Both are nil in a record that is not meant to be one.
	HostCertificate, HostKey []byte
}

// WithoutKey returns the record without its secret.
func (r ReattachRecord) WithoutKey() ReattachRecord {
	r.HostCertificate, r.HostKey = nil, nil
	return r
}

type reattachRecordJSON struct {
	Format int64 `json:"tenon_reattach"`
	reattachJSON
	StartTime   uint64
	BootID      string
	Multiplexed bool
	Certificate []byte
	// The secret is last, so that it is not in what errors quote.
	HostCertificate []byte `json:",omitempty"`
	HostKey         []byte `json:",omitempty"`
}

// ParseReattachRecord reads what ReattachRecord.Append wrote and keeps nothing
// of b. Unknown keys are errors, since a record is security-relevant. The
// errors are those of ParseReattach, ErrReattachFormat and
// ErrCertificateTooLarge; the record is then the zero value.
func ParseReattachRecord(b []byte) (ReattachRecord, error) {
	r, err := parseReattachRecord(b)
	if err != nil {
		return ReattachRecord{}, fmt.Errorf("reattach record: %w", err)
	}
	return r, nil
}

func parseReattachRecord(b []byte) (r ReattachRecord, err error) {
	if len(b) > MaxReattach {
		return r, fmt.Errorf("%d bytes: %w", len(b), ErrReattachLimit)
	}
	// The format first, loosely: a newer one may have keys unknown here. This
	// also refuses bytes behind the object, which a Decoder would not see.
	var format struct {
		Format int64 `json:"tenon_reattach"`
	}
	if err := json.Unmarshal(b, &format); err != nil {
		return r, badReattachJSON(string(b), err)
	}
	if format.Format != reattachFormat {
		return r, fmt.Errorf("format %d: %w", format.Format, ErrReattachFormat)
	}
	var e reattachRecordJSON
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil {
		return r, badReattachJSON(string(b), err)
	}
	if err := e.check(); err != nil {
		return r, err
	}
	r = ReattachRecord{
		Reattach:  e.value(),
		StartTime: e.StartTime, BootID: e.BootID, Multiplexed: e.Multiplexed,
	}
	if len(e.Certificate) > 0 {
		r.Certificate = e.Certificate
	}
	if len(r.BootID) > maxBootID || controlByte(r.BootID) >= 0 {
		return r, fmt.Errorf("boot id %s: %w", quote(r.BootID), ErrReattachLimit)
	}
	if len(e.HostCertificate) > 0 {
		r.HostCertificate = e.HostCertificate
	}
	if len(e.HostKey) > 0 {
		r.HostKey = e.HostKey
	}
	if len(r.Certificate) > MaxCertificate || len(r.HostCertificate) > MaxCertificate {
		return r, ErrCertificateTooLarge
	}
	if len(r.HostKey) > MaxHostKey {
		return r, fmt.Errorf("the host's key has %d bytes: %w", len(r.HostKey), ErrReattachLimit)
	}
	return r, nil
}

// Append appends the record as one line of JSON, with its newline. It does not
// check the record.
func (r ReattachRecord) Append(b []byte) []byte {
	b = appendJSON(b, reattachRecordJSON{
		Format:       reattachFormat,
		reattachJSON: r.json(),
		StartTime:    r.StartTime, BootID: r.BootID, Multiplexed: r.Multiplexed,
		Certificate: r.Certificate, HostCertificate: r.HostCertificate, HostKey: r.HostKey,
	})
	return append(b, '\n')
}
