package host

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/wire"
)

// Curve is the elliptic curve of the host's AutoMTLS key.
type Curve int

// The curves. P521 is the protocol's own and works with every peer. P256 makes a start
// some 15 ms faster in a fresh process, and works with peers whose TLS library lacks
// P-521.
const (
	P521 Curve = iota
	P384
	P256
)

// Config describes how to start a plugin and what to expect of it. Start copies what it
// needs and changes nothing: the Config, its maps and the Cmd may be changed or used
// again once Start has returned. The fields are in groups; the line above a group names
// its subject.
type Config struct {
	// What host and plugin have agreed on beforehand.
	//
	// Handshake holds the values that host and plugin were both built with. The magic
	// cookie's key and value are required. ProtocolVersion is the version of Plugins.
	plugin.Handshake
	// Plugins are the plugins that Dispense makes clients for. Hosts that use only
	// Client.Conn need none.
	Plugins plugin.Set
	// Versions offers several protocol versions, each with its plugins; the highest
	// that the plugin supports too is chosen. Plugins, if set, is added as version
	// ProtocolVersion, unless Versions has that version itself. Versions are from 0 to
	// [wire.MaxVersion], at most [wire.MaxVersions] of them.
	Versions map[int]plugin.Set

	// Which plugin it is, and how it is launched.
	//
	// Cmd is the command to run. It is a template: Start runs a new command made from
	// its Path, Args, Env, Dir, Stdin, ExtraFiles, SysProcAttr and Err. A context given
	// to exec.CommandContext is ignored. Stdout, Stderr and Process must be nil, except
	// for Stderr with Detach. Stdin nil means the host's own stdin, so that a plugin
	// can ask its user for a password (unless package confine replaces it with
	// /dev/null); any other Stdin must be an *os.File, because the plugin inherits it
	// as a descriptor and nothing is copied from it. The protocol's own variables
	// (PLUGIN_MIN_PORT and so on; package wire lists them) in Cmd.Env are not passed
	// on: they are most likely those of this host, if it is a plugin itself.
	Cmd *exec.Cmd
	// Verify decides whether the plugin's file may be executed; package verify makes
	// such functions. What is executed is then a private copy of the file: see
	// [Verifier] for what that means to the plugin. Verify requires Cmd. Nil means that
	// whatever is at Cmd.Path is executed.
	Verify Verifier
	// StartCmd, if set, starts the command made from Cmd, instead of the command's
	// Start method, so that something can be done around it: package confine confines
	// the plugin this way. It requires Cmd. It must not change the command's Path,
	// Args, Env, Stdout, Stderr or ExtraFiles, and must have started the command when
	// it returns nil. socketDir is the directory in which the plugin makes its sockets;
	// the host's sockets are in a directory beside it, or wherever else they are
	// announced. It is "" if no directory could be made. Several Starts may call
	// StartCmd at once, and one Start may call it several times: if it returns
	// syscall.ETXTBSY, because the program is open for writing, it is called again
	// after a pause, with another command.
	StartCmd func(cmd *exec.Cmd, socketDir string) error
	// Runner launches the plugin in another way than Cmd. Exactly one of Cmd, Runner
	// and Reattach must be set.
	Runner Runner
	// Reattach is the record of a plugin that is already running: Start attaches to it
	// instead of launching one. Under AutoMTLS the record must hold the host's key: see
	// [Client.ReattachWithKey]. What the process writes to its own stdout and stderr is
	// not received; what it prints otherwise is, from where the last host stopped.
	Reattach *Reattach
	// InheritEnv gives the plugin the host's whole environment, except for the
	// protocol's own variables. Otherwise the plugin gets the variables that a program
	// needs to run as its operator intended: search path, home and user, locale, time
	// zone, terminal, temporary and runtime directories, certificate authorities,
	// libraries, and what the Go runtime and Windows look for. plugin/MIGRATING.md has
	// the table. The names that are left out are logged at level debug.
	InheritEnv bool
	// Env holds further "NAME=value" entries. They take precedence over Cmd.Env, which
	// takes precedence over what is inherited. The protocol's own variables and the
	// cookie's take precedence over all of these; to set one here is an error.
	Env []string

	// How it starts and ends.
	//
	// StartTimeout bounds Start, as does Start's context. Zero means
	// DefaultStartTimeout; a negative value is an error.
	StartTimeout time.Duration
	// StopTimeout bounds Close, and Shutdown if its context has no deadline. Zero means
	// DefaultStopTimeout; a negative value is an error.
	StopTimeout time.Duration
	// ProcessGroup gives the plugin a process group of its own. SIGTERM and SIGKILL
	// then go to the whole group, and what is left of the group when the plugin ends is
	// killed. If the host dies while the plugin is stopped, the system ends the plugin.
	// A plugin in a group of its own cannot read from the host's terminal and does not
	// receive its Ctrl-C. ProcessGroup requires Cmd. On Windows the group is a job
	// object: what the plugin starts ends with the plugin, and with the host. Every
	// plugin has a process group there anyway, for CTRL_BREAK, which is sent instead of
	// SIGTERM and also reaches what the plugin has started.
	ProcessGroup bool
	// Detach lets the plugin outlive this host, so that another host can attach to it
	// with its record. Close still ends the plugin, unless Client.Detach has let it go.
	//
	// When the host is gone, nobody reads the plugin's stdout and stderr, and writing
	// to them fails. Plugins made with package plugin get that error; up to 1 MiB of
	// what they print through os.Stdout and os.Stderr waits for the next host. Plugins
	// made with other libraries may be ended by SIGPIPE: for those, set Cmd.Stderr to
	// an *os.File, which they write to directly; Logger does not get it then.
	Detach bool

	// How the connection is secured.
	//
	// TLS is the configuration to connect with, for plugins that have certificates of
	// their own. An empty ServerName means "localhost", and a certificate that the
	// plugin announces is ignored. Brokered connections use the same configuration, in
	// both roles: to serve the plugin it needs Certificates and, to ask for the
	// plugin's, ClientAuth and ClientCAs. Nil means AutoMTLS: host and plugin make a
	// key pair each, for this one connection between them, exchange certificates and
	// accept nothing else. A plugin that does not ask for the host's certificate under
	// AutoMTLS, as some libraries' do not, is used all the same, with a warning: anyone
	// who can reach its socket can use it.
	TLS *tls.Config
	// Curve is the curve of the host's key under AutoMTLS. The zero value is P521.
	Curve Curve
	// InsecurePlaintext connects without TLS: anyone who can reach the plugin's socket
	// can then use the plugin. It excludes TLS.
	InsecurePlaintext bool

	// How host and plugin reach each other, and its limits.
	//
	// Sockets configures where host and plugin listen for each other, how they connect,
	// and who else may.
	Sockets Sockets
	// Multiplex carries all connections, including the brokered ones, over one: for
	// plugins that can be reached on one socket only, in a container for example. A
	// plugin without support for it is refused with ErrMuxUnsupported. A multiplexed
	// plugin cannot be attached to again.
	Multiplex bool
	// Client configures the connection to the plugin, and the brokered connections that
	// this host dials. Dial and TLS must be nil: they come from the handshake.
	// ConnectTimeout zero means StartTimeout. A MapError given here is called with
	// errors that this package has already mapped. On the main connection, Exempt nil
	// exempts the protocol's own calls (controller, broker, output, health) from
	// interceptors and Stats, which then see the application's calls only.
	Client h2grpc.ClientConfig
	// Server configures the servers of the brokered connections that the plugin makes
	// to this host: limits, interceptors, MapError. Its TLS must be nil. Zero means 64
	// for MaxConnections and 128 for MaxHandshakes; all these servers together have no
	// more handshakes in progress than two of them may have.
	Server h2grpc.ServerConfig
	// MaxBrokered limits how many brokered listeners are open for the plugin at once,
	// and how many connections it has to all of them together, to this number each. A
	// further listener is an error; a further connection waits in the system's queue
	// and takes no descriptor of this process. Zero means 1024; a negative value means
	// no limit.
	MaxBrokered int

	// What the plugin prints, and what is logged.
	//
	// Output configures who gets what the plugin prints.
	Output Output
	// Logger receives the lines that the plugin writes to its process's stderr, and
	// this package's own records, which are at levels debug, info and warn. The plugin's
	// lines keep their level, module, time and attributes if they are hclog's, in JSON
	// or as text, or JSON of slog, zap or logrus; others are records at level debug, or
	// error once the plugin has crashed. The Go runtime's report of a crash is one
	// record at level error: its first line is the message, the rest the attribute
	// "stack". Lines over 64 KiB are logged in pieces. hclog's trace is
	// slog.LevelDebug-4. Messages are escaped as in a Go string: line ends, and
	// everything that a terminal would act on. Attributes are passed on as the plugin
	// wrote them; handlers have to escape them, as slog's do. Of this package's own
	// records with the same message, the first ten are logged, then one every ten
	// seconds, with the number of records that it stands for ("more_like_it"). The
	// plugin's lines are not limited in number: the plugin waits while the handler
	// takes its time. Nil means slog.Default().
	//
	// It is a *slog.Logger, whereas a plugin has the interface plugin.Logger: records
	// with a time and attributes need slog's handlers, and linking them costs a host
	// little. A host that logs with hclog passes slog.New(sloghclog.ToLogger(logger)).
	Logger *slog.Logger
}

// Sockets configures where host and plugin listen for each other, how they connect, and
// who else may. The zero value is right for a plugin that runs on this machine, as this
// process's user or as the one of Config.Cmd.SysProcAttr.
type Sockets struct {
	// Group gives the plugin's sockets, the host's, and the plugin's directory to a
	// group of users, by name or number: for a plugin that runs as another user, who
	// must be in the group, as must this host's user. Every member can then connect,
	// and make sockets beside the plugin's; AutoMTLS keeps them from doing more. Empty
	// means that only the plugin's user can. It is not supported on Windows.
	Group string
	// TempDir is where the directory for the plugin's sockets is made. Empty means the
	// directory for temporary files (TMPDIR) or, if its name is too long for sockets,
	// XDG_RUNTIME_DIR or /tmp. Only this user and the plugin's can use what is made
	// there. A directory that cannot be used is an error; if TempDir is empty, it is
	// one only if the plugin or a brokered connection needs a unix socket.
	TempDir string
	// MinPort and MaxPort bound the port of a plugin that listens on TCP, both
	// inclusive. Both zero means 10000 to 25000, the protocol's traditional range.
	MinPort, MaxPort int
	// Dial connects to the addresses that the plugin announces, its main one and those
	// of brokered connections: for transports other than a socket of this machine.
	// network is "unix" or "tcp", and address is the plugin's, as its Runner translates
	// it. Nil means that paths are dialled as they are, and TCP addresses as far as
	// RemoteTCP allows: localhost and an unspecified address, such as [::]:10000, are
	// dialled on the loopback interface.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Listen opens a listener for each brokered connection that the plugin is to make
	// to this host. The listener's address must have the network "unix" or "tcp"; the
	// plugin gets it as the Runner translates it. Whom the listener lets in is up to
	// the application. Nil means a socket in the host's directory beside the plugin's.
	Listen func() (net.Listener, error)
	// RemoteTCP allows TCP addresses other than the loopback interface's, and names
	// other than localhost, which are then looked up: for plugins that a Runner
	// launches in a container or on another machine. Without it, a plugin cannot make
	// its host connect to an address of its choice, or query name servers. Dial is not
	// restricted.
	RemoteTCP bool
	// AllowUIDs lists further users, by number, that the plugin may run as, besides
	// this process's user and the one of Config.Cmd.SysProcAttr: for wrappers that
	// change the user, such as sudo or setpriv. If this process is root, the plugin's
	// directory and the host's sockets are given to the first of them that is not root.
	// Only root can give them away, and connect to that user's sockets; other hosts
	// need a group of users (Group) for that.
	//
	// On Linux, the kernel reports which process is at the other end of a unix socket.
	// If it belongs to none of these users, the connection is refused before anything
	// is sent or read; this holds for brokered connections too. With
	// Config.InsecurePlaintext the process must also be the plugin's or one that the
	// plugin has started, unless a Runner launched it or Detach or Reattach is set.
	// None of this holds with Group, nor for Listen and Dial.
	AllowUIDs []int
}

// Output configures who gets what the plugin prints, besides Config.Logger, and how
// much of it waits for them. While a plugin serves, its library replaces the program's
// standard streams: what the program writes to them is what the plugin prints. The
// process's own stdout has the handshake, and its own stderr the log.
type Output struct {
	// Stdout and Stderr receive what the plugin prints after its handshake. Stdout also
	// gets what the plugin's process writes to its own stdout; what the process writes
	// to its own stderr goes to Config.Logger. Nil means that the output is dropped
	// (the process's stdout: logged at level debug). Calls of Write never overlap, not
	// even those of different writers, RawStderr included, so all may be the same
	// writer. That there is no writer for what a plugin prints is logged at level info,
	// once for each stream. A slow writer makes the plugin wait once the buffers in between are full;
	// a writer that takes nothing for two seconds does not: see Buffer. A writer that
	// fails is not called again.
	Stdout, Stderr io.Writer
	// RawStderr receives a copy of everything that the process writes to its own
	// stderr, byte for byte, in addition to the records that Config.Logger gets. Nil
	// means none.
	RawStderr io.Writer
	// Buffer is how many bytes wait for these writers if one is stuck; what exceeds it
	// is counted, logged and dropped. Zero means 1 MiB; a negative value is an error.
	Buffer int
}

// settings is a Config that was found valid, with the defaults filled in. It shares
// nothing with the caller except what must be shared (loggers, writers), and never
// changes.
type settings struct {
	handshake plugin.Handshake
	versions  map[int]plugin.Set
	target    target
	sockets   sockets
	tls       *tls.Config
	curve     automtls.Curve
	plaintext bool
	multiplex bool

	inheritEnv bool
	env        []string

	startTimeout, stopTimeout time.Duration
	stdout, stderr, rawStderr io.Writer
	outputBuffer              int
	logger                    *slog.Logger
	client                    h2grpc.ClientConfig
	server                    h2grpc.ServerConfig
	maxBrokered               int
}

// target is the plugin that is meant, one of three kinds: what the recipe launches,
// what a Runner launches, or what runs already and is attached to.
type target struct {
	recipe       recipe // zero for the other kinds, as are verify, startCmd and processGroup
	verify       Verifier
	startCmd     func(cmd *exec.Cmd, socketDir string) error
	processGroup bool
	runner       Runner    // nil for the other kinds
	reattach     *Reattach // nil for the other kinds
	detach       bool      // it is launched here and may outlive this host
}

// sockets is a Sockets that was found valid, with the ports and Dial filled in.
type sockets struct {
	Sockets
	gid     *int // Group's number; nil without one
	ownDial bool // the application has set Dial
}

// autoMTLS reports whether host and plugin exchange certificates.
func (s *settings) autoMTLS() bool { return s.tls == nil && !s.plaintext }

// versionList returns this host's versions in ascending order.
func (s *settings) versionList() []int { return slices.Sorted(maps.Keys(s.versions)) }

// recipe is what Start copies from the caller's exec.Cmd.
type recipe struct {
	cmd exec.Cmd // the fields to copy; never started itself
	err error    // why Path could not be found
}

// path returns the executable's path as seen from the host's own directory.
func (r *recipe) path() string {
	if p := r.cmd.Path; filepath.IsAbs(p) || r.cmd.Dir == "" || !strings.ContainsRune(p, filepath.Separator) {
		return p
	}
	return filepath.Join(r.cmd.Dir, r.cmd.Path)
}

// settle checks a Config and copies it. Its errors name the field that is wrong.
func settle(c *Config) (*settings, error) {
	if c == nil {
		return nil, errors.New("the Config is nil")
	}
	s := &settings{
		handshake:    c.Handshake,
		tls:          c.TLS.Clone(),
		plaintext:    c.InsecurePlaintext,
		multiplex:    c.Multiplex,
		inheritEnv:   c.InheritEnv,
		env:          slices.Clone(c.Env),
		startTimeout: cmp.Or(c.StartTimeout, DefaultStartTimeout),
		stopTimeout:  cmp.Or(c.StopTimeout, DefaultStopTimeout),
		stdout:       c.Output.Stdout,
		stderr:       c.Output.Stderr,
		rawStderr:    c.Output.RawStderr,
		outputBuffer: cmp.Or(c.Output.Buffer, defaultOutputBuffer),
		logger:       cmp.Or(c.Logger, slog.Default()),
		client:       c.Client,
		server:       c.Server,
		maxBrokered:  c.MaxBrokered,
	}
	for _, check := range []func(*Config, *settings) error{
		settleCookie, settleVersions, settleTarget, settleTLS, settleTransport, settleEnv, settleTimeouts,
	} {
		if err := check(c, s); err != nil {
			return nil, err
		}
	}
	if s.outputBuffer < 0 {
		return nil, errors.New("Output.Buffer must not be negative")
	}
	return s, nil
}

func settleCookie(c *Config, _ *settings) error {
	key, value := c.MagicCookieKey, c.MagicCookieValue
	switch {
	case key == "" || value == "":
		return errors.New("the cookie is incomplete: Handshake.MagicCookieKey and MagicCookieValue must be set; use the values the plugin was built with")
	case strings.ContainsAny(key, "=\x00") || strings.ContainsRune(value, 0):
		return fmt.Errorf("the cookie: Handshake.MagicCookieKey %q and its value cannot be an environment variable", key)
	case slices.Contains(wire.EnvNames(), key):
		return fmt.Errorf("the cookie: Handshake.MagicCookieKey %q is a variable of the protocol itself", key)
	}
	return nil
}

func settleVersions(c *Config, s *settings) error {
	s.versions = make(map[int]plugin.Set, len(c.Versions)+1)
	for v, set := range c.Versions {
		s.versions[v] = maps.Clone(set)
	}
	_, there := s.versions[c.ProtocolVersion]
	if !there && (c.Plugins != nil || len(c.Versions) == 0) {
		s.versions[c.ProtocolVersion] = maps.Clone(c.Plugins)
	}
	if len(s.versions) > wire.MaxVersions {
		return fmt.Errorf("there are %d versions, but a plugin reads at most %d", len(s.versions), wire.MaxVersions)
	}
	for v, set := range s.versions {
		if v < 0 || v > wire.MaxVersion {
			return fmt.Errorf("version %d is not between 0 and %d", v, wire.MaxVersion)
		}
		for name, p := range set {
			if p == nil {
				return fmt.Errorf("the plugin %q of version %d is nil", name, v)
			}
		}
	}
	return nil
}

// settleTarget checks the fields that choose the plugin.
func settleTarget(c *Config, s *settings) error {
	s.target = target{verify: c.Verify, startCmd: c.StartCmd, processGroup: c.ProcessGroup, runner: c.Runner, detach: c.Detach}
	set := 0
	for _, is := range []bool{c.Cmd != nil, c.Runner != nil, c.Reattach != nil} {
		if is {
			set++
		}
	}
	switch {
	case set == 0:
		return errors.New("the Cmd is nil; it says what to run")
	case set > 1:
		return errors.New("the fields Cmd, Runner and Reattach exclude each other: each says which plugin is meant")
	case c.StartCmd != nil && c.Cmd == nil:
		return errors.New("StartCmd is for plugins launched with Cmd")
	case c.Verify != nil && c.Cmd == nil:
		return errors.New("the field Verify is for plugins launched with Cmd: this host cannot verify what a Runner launches, or what is running already")
	case c.Verify != nil && chrooted(c.Cmd.SysProcAttr):
		return errors.New("the fields Verify and Cmd.SysProcAttr.Chroot exclude each other: the verified copy is not below the plugin's root directory")
	case c.Multiplex && !broker.HasMux:
		return errors.New("the field Multiplex is set in a program that was built without multiplexing (tenon_nomux)")
	case c.Detach && c.Multiplex:
		return errors.New("the fields Detach and Multiplex exclude each other: a plugin that multiplexes ends with its one connection")
	case c.Cmd != nil:
		return settleCmd(c, s)
	case c.Reattach != nil:
		return settleReattach(c, s)
	case c.ProcessGroup:
		return errors.New("ProcessGroup is for plugins launched with Cmd; a Runner ends what it has launched in its own way")
	}
	return nil
}

func settleCmd(c *Config, s *settings) error {
	cmd := c.Cmd
	switch {
	case cmd.Process != nil:
		return errors.New("the Cmd has already been started; pass one that has not, from which Start makes its own command")
	case cmd.Stdout != nil || cmd.Stderr != nil && !c.Detach:
		return errors.New("Cmd.Stdout and Cmd.Stderr must be nil: they carry the protocol; use Config.Output and Config.Logger")
	case cmd.Path == "" && cmd.Err == nil:
		return errors.New("Cmd.Path is empty; it says what to run")
	}
	var stdin io.Reader = os.Stdin
	if cmd.Stdin != nil {
		file, ok := cmd.Stdin.(*os.File)
		if !ok || file == nil {
			return fmt.Errorf("Cmd.Stdin is a %T, not an *os.File; it is passed to the plugin as a descriptor", cmd.Stdin)
		}
		stdin = file
	}
	if cmd.Stderr != nil {
		if file, ok := cmd.Stderr.(*os.File); !ok || file == nil {
			return fmt.Errorf("Cmd.Stderr is a %T, not an *os.File; it is passed to the plugin as a descriptor", cmd.Stderr)
		}
	}
	if err := checkEnv("Cmd.Env", cmd.Env); err != nil {
		return err
	}
	if c.ProcessGroup {
		if err := checkGroup(cmd.SysProcAttr); err != nil {
			return err
		}
	}
	s.target.recipe = recipe{err: cmd.Err, cmd: exec.Cmd{
		Path:       cmd.Path,
		Args:       slices.Clone(cmd.Args),
		Env:        slices.Clone(cmd.Env),
		Dir:        cmd.Dir,
		Stdin:      stdin,
		Stderr:     cmd.Stderr,
		ExtraFiles: slices.Clone(cmd.ExtraFiles),
	}}
	if cmd.SysProcAttr != nil {
		attr := *cmd.SysProcAttr
		s.target.recipe.cmd.SysProcAttr = &attr
	}
	return nil
}

func settleTLS(c *Config, s *settings) error {
	switch {
	case c.TLS != nil && c.InsecurePlaintext:
		return errors.New("TLS and InsecurePlaintext exclude each other")
	case c.Server.TLS != nil:
		return errors.New("Server.TLS must be nil: brokered connections are secured as the main one is")
	case c.Client.TLS != nil || c.Client.Dial != nil:
		return errors.New("Client.TLS and Client.Dial must be nil: the handshake says how to connect; use Config.TLS")
	}
	switch c.Curve {
	case P521:
		s.curve = automtls.P521
	case P384:
		s.curve = automtls.P384
	case P256:
		s.curve = automtls.P256
	default:
		return fmt.Errorf("unknown Curve %d; use P521, P384 or P256", c.Curve)
	}
	return nil
}

func settleEnv(c *Config, _ *settings) error {
	if err := checkEnv("Env", c.Env); err != nil {
		return err
	}
	for _, entry := range c.Env {
		if name, _, _ := strings.Cut(entry, "="); slices.Contains(wire.EnvNames(), name) || name == c.MagicCookieKey {
			return fmt.Errorf("the Env sets %s, which the protocol sets itself", name)
		}
	}
	return nil
}

func settleTimeouts(c *Config, s *settings) error {
	if c.StartTimeout < 0 || c.StopTimeout < 0 {
		return errors.New("StartTimeout and StopTimeout must not be negative")
	}
	s.client.ConnectTimeout = cmp.Or(s.client.ConnectTimeout, s.startTimeout)
	return nil
}
