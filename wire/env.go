package wire

import (
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The names of the environment variables of the protocol. They appear nowhere
// else in the module.
const (
	// EnvMinPort and EnvMaxPort bound the ports of a TCP plugin.
	EnvMinPort = "PLUGIN_MIN_PORT"
	EnvMaxPort = "PLUGIN_MAX_PORT"
	// EnvProtocolVersions lists the application versions the host has.
	EnvProtocolVersions = "PLUGIN_PROTOCOL_VERSIONS"
	// EnvClientCert is the PEM of the host's certificate under AutoMTLS.
	EnvClientCert = "PLUGIN_CLIENT_CERT"
	// EnvMultiplex asks the plugin to multiplex brokered connections.
	EnvMultiplex = "PLUGIN_MULTIPLEX_GRPC"
	// EnvUnixSocketDir is the directory of the plugin's sockets.
	EnvUnixSocketDir = "PLUGIN_UNIX_SOCKET_DIR"
	// EnvUnixSocketGroup is the group that shall own them.
	EnvUnixSocketGroup = "PLUGIN_UNIX_SOCKET_GROUP"
	// EnvLifeline is tenon's own: the pipe by which a plugin learns that its
	// host is gone.
	EnvLifeline = "TENON_LIFELINE"
	// EnvStdout and EnvStderr are tenon's own, too: the pipes for what a plugin
	// prints, which keep it also when the plugin crashes.
	EnvStdout = "TENON_STDOUT"
	EnvStderr = "TENON_STDERR"
	// EnvOwn is how all of tenon's own begin.
	EnvOwn = "TENON_"
	// EnvReattach is Terraform's and OpenTofu's: plugins that run already.
	// A host reads it; it is no part of what a plugin is started with.
	EnvReattach = "TF_REATTACH_PROVIDERS"
)

// The kinds of environment faults, for errors.Is.
var (
	// errPort reports a port that is not a number from 0 to MaxPort.
	errPort = fmt.Errorf("not a port number from 0 to %d", MaxPort)
	// errPortRange reports a lowest port above the highest.
	errPortRange = errors.New("the lowest port is above " + EnvMaxPort + ", or that is not set")
	// errVersionList reports a version list without any usable version, or
	// one over MaxVersions or maxVersionList.
	errVersionList = fmt.Errorf("not a list of at most %d decimal versions divided by commas, such as 2,3", MaxVersions)
	// errClientCert reports a value that is not the PEM of a certificate.
	errClientCert = fmt.Errorf("not a certificate in PEM of at most %d bytes", MaxClientCertPEM)
	// errEnvBool reports a value that is not a boolean.
	errEnvBool = errors.New("not a boolean such as true or false")
	// errEnvLength reports a value over its limit.
	errEnvLength = errors.New("longer than any such value")
	// errEnvControl reports a value that holds a control byte.
	errEnvControl = errors.New("holds a control byte")
)

// envError is the error of ParseEnv.
type envError struct {
	Name  string // the variable
	Value string // what it held, quoted like a Go string and bounded: safe to print
	Err   error  // one of the kinds above
}

// Error returns one sentence for a human.
func (e *envError) Error() string {
	return "environment: " + e.Name + "=" + e.Value + ": " + e.Err.Error() +
		"; the host that started this plugin must set it right or leave it out"
}

// Unwrap returns the kind of the error.
func (e *envError) Unwrap() error { return e.Err }

func badEnv(name, value string, kind error) error {
	return &envError{Name: name, Value: Quote(value), Err: kind}
}

// Env is what a host tells a plugin through its environment, apart from the
// magic cookie, whose name the application chooses. A zero field is a variable
// that is not set; a variable set to nothing counts as not set.
type Env struct {
	// MinPort and MaxPort bound the plugin's TCP port; both included.
	MinPort, MaxPort int
	// Versions are the application versions the host has, in any order.
	Versions []int
	// ClientCert is the PEM of the host's certificate, checked to hold a
	// certificate block, not parsed further.
	ClientCert string
	// Multiplex is the raw value; not empty means that the plugin must answer
	// in its handshake. See Multiplexed.
	Multiplex string
	// UnixSocketDir is the directory for the plugin's sockets.
	UnixSocketDir string
	// UnixSocketGroup is the group name or number for the plugin's sockets.
	UnixSocketGroup string
	// Lifeline is the raw value of EnvLifeline, and Stdout and Stderr are those of
	// EnvStdout and EnvStderr. See ParseLifeline, which reads all three.
	Lifeline, Stdout, Stderr string
}

// ParseEnv reads the protocol's variables through lookup, which has the shape
// of os.LookupEnv. Only the value that lookup returns counts: a variable that
// is empty is as good as unset, as in go-plugin.
//
// Limits are strict. Within them it takes what go-plugin takes: an entry of
// the version list that is not a bare decimal number is skipped, so that
// "3, 5" reads as 3 alone (the second entry begins with a space). A list that
// then holds no version at all is an error, because it would otherwise look
// like a host that sent none.
//
// The error is an *envError that wraps one of the kinds above; the Env is then
// the zero value.
func ParseEnv(lookup func(string) (string, bool)) (Env, error) {
	e, err := parseEnv(lookup)
	if err != nil {
		return Env{}, err
	}
	return e, nil
}

func parseEnv(lookup func(string) (string, bool)) (e Env, err error) {
	get := func(name string) string {
		value, _ := lookup(name)
		return value
	}
	if e.MinPort, err = parsePort(EnvMinPort, get(EnvMinPort)); err != nil {
		return e, err
	}
	if e.MaxPort, err = parsePort(EnvMaxPort, get(EnvMaxPort)); err != nil {
		return e, err
	}
	if e.MinPort > e.MaxPort {
		return e, badEnv(EnvMinPort, get(EnvMinPort), errPortRange)
	}
	if e.Versions, err = parseVersions(get(EnvProtocolVersions)); err != nil {
		return e, err
	}
	e.ClientCert = get(EnvClientCert)
	if e.ClientCert != "" && !isCertificatePEM(e.ClientCert) {
		// Only the first line is shown: what is no certificate might be a key.
		firstLine, _, _ := strings.Cut(e.ClientCert, "\n")
		return e, badEnv(EnvClientCert, firstLine, errClientCert)
	}
	e.Multiplex = get(EnvMultiplex)
	if _, err := e.Multiplexed(); err != nil {
		return e, err
	}
	for _, text := range []struct {
		name string
		to   *string
		max  int
	}{
		{EnvUnixSocketDir, &e.UnixSocketDir, maxAddress},
		{EnvUnixSocketGroup, &e.UnixSocketGroup, maxGroup},
		{EnvLifeline, &e.Lifeline, maxLifeline},
		{EnvStdout, &e.Stdout, maxLifeline},
		{EnvStderr, &e.Stderr, maxLifeline},
	} {
		*text.to = get(text.name)
		if len(*text.to) > text.max {
			return e, badEnv(text.name, *text.to, errEnvLength)
		}
		if ControlByte(*text.to) >= 0 {
			return e, badEnv(text.name, *text.to, errEnvControl)
		}
	}
	return e, nil
}

func parsePort(name, value string) (int, error) {
	if value == "" {
		return 0, nil
	}
	port, ok := Decimal(value, MaxPort)
	if !ok {
		return 0, badEnv(name, value, errPort)
	}
	return int(port), nil
}

func parseVersions(value string) ([]int, error) {
	if value == "" {
		return nil, nil
	}
	if len(value) > maxVersionList || strings.Count(value, ",") >= MaxVersions {
		return nil, badEnv(EnvProtocolVersions, value, errVersionList)
	}
	var versions []int
	for entry := range strings.SplitSeq(value, ",") {
		if v, ok := Decimal(entry, MaxVersion); ok {
			versions = append(versions, int(v))
		}
	}
	if versions == nil {
		return nil, badEnv(EnvProtocolVersions, value, errVersionList)
	}
	return versions, nil
}

// isCertificatePEM looks at the first PEM block only. Upstream would take an
// unusable certificate silently and fail in TLS much later.
func isCertificatePEM(value string) bool {
	if len(value) > MaxClientCertPEM {
		return false
	}
	block, _ := pem.Decode([]byte(value))
	return block != nil && block.Type == "CERTIFICATE" && len(block.Bytes) <= MaxCertificate
}

// Multiplexed reports whether the host asks for multiplexing, as
// strconv.ParseBool reads the variable; false if it is not set. The error is
// an *envError with errEnvBool, which ParseEnv has reported already.
func (e Env) Multiplexed() (bool, error) {
	if e.Multiplex == "" {
		return false, nil
	}
	if len(e.Multiplex) > MaxMuxField {
		return false, badEnv(EnvMultiplex, e.Multiplex, errEnvBool)
	}
	mux, err := strconv.ParseBool(e.Multiplex)
	if err != nil {
		return false, badEnv(EnvMultiplex, e.Multiplex, errEnvBool)
	}
	return mux, nil
}

// EnvNames returns the names of every variable that a host sets for a plugin,
// so that the plugin can remove them from its environment after reading.
func EnvNames() []string {
	return []string{
		EnvMinPort, EnvMaxPort, EnvProtocolVersions, EnvClientCert,
		EnvMultiplex, EnvUnixSocketDir, EnvUnixSocketGroup, EnvLifeline, EnvStdout, EnvStderr,
	}
}
