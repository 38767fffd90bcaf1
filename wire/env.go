package wire

import (
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The names of the protocol's environment variables. No other code of the module contains
// them.
const (
	// EnvMinPort and EnvMaxPort bound the ports of a TCP plugin.
	EnvMinPort = "PLUGIN_MIN_PORT"
	EnvMaxPort = "PLUGIN_MAX_PORT"
	// EnvProtocolVersions lists the application versions that the host supports.
	EnvProtocolVersions = "PLUGIN_PROTOCOL_VERSIONS"
	// EnvClientCert is the PEM of the host's certificate under AutoMTLS.
	EnvClientCert = "PLUGIN_CLIENT_CERT"
	// EnvMultiplex asks the plugin to multiplex brokered connections.
	EnvMultiplex = "PLUGIN_MULTIPLEX_GRPC"
	// EnvUnixSocketDir is the directory of the plugin's sockets.
	EnvUnixSocketDir = "PLUGIN_UNIX_SOCKET_DIR"
	// EnvUnixSocketGroup is the group that is to own them.
	EnvUnixSocketGroup = "PLUGIN_UNIX_SOCKET_GROUP"
	// EnvLifeline is tenon's own: the pipe that tells a plugin that its host is gone.
	EnvLifeline = "TENON_LIFELINE"
	// EnvStdout and EnvStderr are tenon's own, too: the pipes for a plugin's output,
	// which keep it even if the plugin crashes.
	EnvStdout = "TENON_STDOUT"
	EnvStderr = "TENON_STDERR"
	// EnvOwn is the prefix of all variables of tenon's own.
	EnvOwn = "TENON_"
	// EnvReattach is a variable of Terraform and OpenTofu that lists running plugins. A
	// host reads it; no plugin is started with it.
	EnvReattach = "TF_REATTACH_PROVIDERS"
)

// The kinds of errors of ParseEnv, for errors.Is.
var (
	// errPort reports a port that is not a number from 0 to MaxPort.
	errPort = fmt.Errorf("not a port number from 0 to %d", MaxPort)
	// errPortRange reports that the lowest port is above the highest.
	errPortRange = errors.New("the lowest port is above " + EnvMaxPort + ", or that is not set")
	// errVersionList reports a version list without any usable version, or one over
	// MaxVersions or maxVersionList.
	errVersionList = fmt.Errorf("not a list of at most %d decimal versions separated by commas, such as 2,3", MaxVersions)
	// errClientCert reports a value that is not the PEM of a certificate.
	errClientCert = fmt.Errorf("not a certificate in PEM of at most %d bytes", MaxClientCertPEM)
	// errEnvBool reports a value that is not a boolean.
	errEnvBool = errors.New("not a boolean such as true or false")
	// errEnvLength reports a value over its limit.
	errEnvLength = errors.New("longer than such a value can be")
	// errEnvControl reports a value with a control byte.
	errEnvControl = errors.New("contains a control character")
)

// envError is the error of ParseEnv.
type envError struct {
	Name  string // the variable
	Value string // its value, quoted like a Go string and cut: safe to print
	Err   error  // one of the kinds above
}

// Error returns one sentence for people.
func (e *envError) Error() string {
	return "environment: " + e.Name + "=" + e.Value + ": " + e.Err.Error() +
		"; the host that started this plugin must correct it or leave it out"
}

// Unwrap returns the kind of the error.
func (e *envError) Unwrap() error { return e.Err }

func badEnv(name, value string, kind error) error {
	return &envError{Name: name, Value: Quote(value), Err: kind}
}

// Env is what a host tells a plugin through its environment, except the magic cookie,
// whose name the application chooses. A zero field means that the variable is not set or
// is empty.
type Env struct {
	// MinPort and MaxPort are the lowest and the highest TCP port that the plugin may
	// use.
	MinPort, MaxPort int
	// Versions are the application versions that the host supports, in any order.
	Versions []int
	// ClientCert is the PEM of the host's certificate. It holds a certificate block,
	// which is not parsed further.
	ClientCert string
	// Multiplex is the raw value of EnvMultiplex. If it is not empty, the plugin must
	// answer in its handshake. See Multiplexed.
	Multiplex string
	// UnixSocketDir is the directory for the plugin's sockets.
	UnixSocketDir string
	// UnixSocketGroup is the name or the number of the group for the plugin's sockets.
	UnixSocketGroup string
	// Lifeline, Stdout and Stderr are the raw values of EnvLifeline, EnvStdout and
	// EnvStderr. See ParseLifeline, which parses all three.
	Lifeline, Stdout, Stderr string
}

// ParseEnv reads the protocol's variables through lookup, which works like os.LookupEnv.
// An empty variable counts as not set, as in go-plugin.
//
// Limits are strict. Within them ParseEnv accepts what go-plugin accepts: an entry of the
// version list that is not a bare decimal number is skipped, so that "3, 5" reads as 3
// alone (the second entry begins with a space). A list without any usable version is an
// error, because it would otherwise look like a host that sent none.
//
// The error names the variable, and quotes and cuts its value. The Env is then the zero
// value.
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
		// Only the first line is shown: a value that is not a certificate might be a key.
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

// isCertificatePEM checks only the first PEM block. go-plugin would accept an unusable
// certificate silently and fail in TLS much later.
func isCertificatePEM(value string) bool {
	if len(value) > MaxClientCertPEM {
		return false
	}
	block, _ := pem.Decode([]byte(value))
	return block != nil && block.Type == "CERTIFICATE" && len(block.Bytes) <= MaxCertificate
}

// Multiplexed reports whether the host asks for multiplexing, as strconv.ParseBool reads
// the variable; it is false if the variable is not set. ParseEnv has reported any error
// already.
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

// EnvNames returns the names of all variables that a host sets for a plugin, so that the
// plugin can remove them from its environment.
func EnvNames() []string {
	return []string{
		EnvMinPort, EnvMaxPort, EnvProtocolVersions, EnvClientCert,
		EnvMultiplex, EnvUnixSocketDir, EnvUnixSocketGroup, EnvLifeline, EnvStdout, EnvStderr,
	}
}
