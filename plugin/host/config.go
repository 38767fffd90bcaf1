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

// The curves. P521 is the protocol's own and works with every peer; P256 makes
// a start some 15 ms faster in a fresh process, and works with peers whose TLS
// library lacks P-521.
const (
	P521 Curve = iota
	P384
	P256
)

// Config says how to start a plugin and what to expect of it. Start copies what
// it needs: the Config, its maps and the Cmd may be changed or used again once
// Start has returned, and are never changed by this package.
// The fields stand in groups; the first line above a group says what it is about.
type Config struct {
	// What host and plugin agreed on.
	//
	// Handshake is what host and plugin were built with. Key and value of the
	// magic cookie are required. ProtocolVersion is the version of Plugins.
	plugin.Handshake
	// Plugins are the plugins that Dispense can hand out; hosts that only use
	// Client.Conn need none.
	Plugins plugin.Set
	// Versions offers several protocol versions, each with its plugins. The
	// highest that the plugin has too is chosen. Plugins, if set, adds
	// ProtocolVersion to them, unless Versions has that one itself.
	Versions map[int]plugin.Set

	// Which plugin it is, and how it is launched.
	//
	// Cmd says what to run. It is a recipe: Start runs a new command made from
	// its Path, Args, Env, Dir, Stdin, ExtraFiles, SysProcAttr and Err; a
	// context given to exec.CommandContext is not looked at. Stdout, Stderr and
	// Process must not be set, except for Stderr with Detach. Stdin nil means the
	// host's own stdin, so that a plugin can ask its user for a password, unless
	// package confine gives it /dev/null; anything else must be an *os.File, because
	// it is passed on as a descriptor and never copied from. The protocol's own
	// variables (PLUGIN_MIN_PORT and so on; package wire lists them) in Cmd.Env are
	// not passed on: they are most likely those of this host, which is a plugin
	// itself.
	Cmd *exec.Cmd
	// Verify says whether the plugin's file may be executed: package verify
	// makes such functions. What is executed then is a private copy; see Verifier
	// for what that means to the plugin. It is for plugins launched with Cmd. Nil
	// means that whatever is at Cmd.Path is executed.
	Verify Verifier
	// StartCmd starts the command that was made of Cmd, in place of its Start
	// method, so that something can be done around it: package confine confines
	// the plugin so. It must not change the command's Path, Args, Env, standard
	// output and error, or ExtraFiles, and must have started it when it returns nil.
	// socketDir is the directory in which the plugin makes its sockets; it finds
	// the host's in a directory beside it, or wherever else they are announced to
	// be. It is "" if none could be made. Several Starts may call it at once, and
	// one more than once: if its error is syscall.ETXTBSY, because the program is
	// open for writing, it is called again after a pause, with another command.
	StartCmd func(cmd *exec.Cmd, socketDir string) error
	// Runner launches the plugin in another way, in place of Cmd. Exactly one
	// of Cmd, Runner and Reattach must be set.
	Runner Runner
	// Reattach attaches to a plugin that runs already, as its record says, in
	// place of launching one. Under AutoMTLS the record must hold the host's
	// key. What the process writes to its own stdout and stderr is not seen;
	// what it prints otherwise is, from where the last host stopped.
	Reattach *Reattach
	// InheritEnv gives the plugin the host's whole environment, except for the
	// protocol's own variables. Otherwise it gets those that a program needs to run as
	// its operator meant: search path, home and user, locale, time zone, terminal,
	// temporary and runtime directories, certificate authorities, libraries, and what
	// the Go runtime and Windows look for. plugin/MIGRATING.md has the table; names that are
	// left out are logged at level debug.
	InheritEnv bool
	// Env are further "NAME=value" entries. They take precedence over Cmd.Env,
	// which takes precedence over what is inherited. The protocol's own
	// variables and the cookie's take precedence over all and must not be here.
	Env []string

	// How it starts and ends.
	//
	// StartTimeout bounds Start, next to its context. Zero means
	// DefaultStartTimeout; negative is an error.
	StartTimeout time.Duration
	// StopTimeout bounds Close, and Shutdown if its context has no deadline.
	// Zero means DefaultStopTimeout; negative is an error.
	StopTimeout time.Duration
	// ProcessGroup gives the plugin a process group of its own. SIGTERM and
	// SIGKILL then go to the whole group, and what the plugin leaves of it when
	// it ends is killed. Should the host die while the plugin is stopped, the
	// system ends the plugin. A plugin in a group of its own cannot read from the
	// host's terminal, and does not see its Ctrl-C. It is for plugins launched
	// with Cmd. On Windows the group is a job object: what the plugin starts is
	// ended with it, and with the host. Plugins have a process group there in any
	// case, for CTRL_BREAK, which takes SIGTERM's place and goes to what they have
	// started, too.
	ProcessGroup bool
	// Detach lets the plugin outlive this host, for another host to attach to
	// with its record. Unless the plugin is let go with Client.Detach, Close
	// ends it all the same.
	//
	// When the host is gone nobody reads the plugin's stdout and stderr, and
	// writing to them is an error. Plugins made with package plugin get that
	// error; up to 1 MiB of what they print by os.Stdout and os.Stderr waits for
	// the next host. Plugins made with other libraries may be ended by it, with
	// SIGPIPE: for those, set Cmd.Stderr to an *os.File, which they write to
	// directly, in place of Logger.
	Detach bool

	// How the connection is secured.
	//
	// TLS is the configuration to connect with, for plugins with certificates of
	// their own. Nil means AutoMTLS: host and plugin make a key pair each, for
	// this one connection between them, hand each other the certificate and
	// accept nothing else. With TLS set, a certificate that the plugin announces
	// is ignored. An empty ServerName means "localhost". A plugin that does not
	// ask for the host's certificate under AutoMTLS, as some libraries' do not, is
	// used all the same, with a warning: it lets everyone in who reaches its socket.
	TLS *tls.Config
	// Curve is the curve of the host's key under AutoMTLS.
	Curve Curve
	// InsecurePlaintext connects without TLS: everyone who can reach the
	// plugin's socket can then use the plugin. It excludes TLS.
	InsecurePlaintext bool

	// How host and plugin reach each other, and the limits of that.
	//
	// Sockets says where host and plugin listen for each other, how they get there,
	// and who else may.
	Sockets Sockets
	// Multiplex carries all connections, the brokered ones too, over one: for
	// plugins that can be reached on one socket only, in a container for
	// example. A plugin without support for it is refused with
	// ErrMuxUnsupported. Such a plugin cannot be attached to again.
	Multiplex bool
	// Client is the configuration of the connection. Dial and TLS must be nil:
	// they come from the handshake. ConnectTimeout zero means StartTimeout. A
	// MapError given here is called with errors that this package has mapped
	// already. Exempt nil exempts the protocol's own calls (controller, broker, output,
	// health) from interceptors and Stats: these see the application's.
	Client h2grpc.ClientConfig
	// Server configures the servers of the brokered connections that the plugin
	// makes to this host: limits, interceptors, MapError. Its TLS must be nil. Zero
	// means 64 for MaxConnections and 128 for MaxHandshakes; all these servers
	// together have no more handshakes than two of them may have.
	Server h2grpc.ServerConfig
	// MaxBrokered limits the brokered listeners that are open at once for the
	// plugin, and the connections that it has made to all of them, to so many each.
	// A further listener is an error; a further connection waits in the system's
	// queue, and takes no descriptor of this process. Zero means 1024, a negative
	// number no limit.
	MaxBrokered int

	// What the plugin prints, and what is logged.
	//
	// Output says who gets what the plugin prints.
	Output Output
	// Logger receives the lines that the plugin writes to its process's stderr,
	// and what this package has to say, at level debug. Of the plugin's lines,
	// hclog's, in JSON and as text, have their level, module, time and
	// attributes; others are records at level debug, or error once the plugin has
	// crashed. The Go runtime's account of a crash is one record at level error,
	// with all but its first line as the attribute "stack". Lines over 64 KiB are
	// logged in pieces. hclog's trace is slog.LevelDebug-4. In messages everything
	// is escaped, as in a Go string, that a terminal would act on, and line ends;
	// attributes are as the plugin wrote them, and the handler's to escape, as
	// slog's do. Of this package's own records with the same message the first ten
	// are logged; after that there is one every ten seconds, with the number of
	// those that it stands for ("more_like_it"). The plugin's lines are not limited
	// so: it is held up while the handler takes its time. Nil means slog.Default().
	//
	// It is a *slog.Logger, where a plugin has the interface plugin.Logger:
	// records that come with a time and attributes need slog's handlers, and a
	// host does not mind what linking them costs.
	Logger *slog.Logger
}

// Sockets says where host and plugin listen for each other, how they get there, and
// who else may. The zero value is right for a plugin that runs on this machine, as
// this process's user or the one of Config.Cmd.SysProcAttr.
type Sockets struct {
	// Group gives the plugin's sockets, the host's and the plugin's directory
	// to a group of users, by name or number: for a plugin that runs as another
	// user, who must be in the group, as this host's user must. All of the group
	// can then connect, and make sockets of their own beside the plugin's; AutoMTLS
	// keeps them from more. Empty means that the plugin's user alone can. It is not
	// supported on Windows.
	Group string
	// TempDir is where the directory for the plugin's sockets is made, if not in
	// the usual place: the directory for temporary files (TMPDIR), or, where that
	// has too long a name for sockets, XDG_RUNTIME_DIR or /tmp. What is made there
	// is this user's and the plugin's alone. A directory that does not do is an
	// error; without TempDir, it is one only if the plugin or a brokered
	// connection needs a unix socket.
	TempDir string
	// MinPort and MaxPort bound the port of a plugin that listens on TCP, both
	// included. Both zero means 10000 to 25000, the protocol's traditional range.
	MinPort, MaxPort int
	// Dial connects to what the plugin announces, its main address and those of
	// brokered connections: for transports other than a socket of this machine.
	// The network is "unix" or "tcp", and the address is the plugin's as its Runner
	// translates it. Nil dials it: a path as it is, and of TCP addresses those that
	// RemoteTCP allows. One that is localhost's or unspecified, such as
	// [::]:10000, is dialled on the loopback interface.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Listen opens a listener for each brokered connection that the plugin is to
	// make to this host. Its address must have the network "unix" or "tcp"; the
	// plugin gets it as the Runner translates it. Whom it lets in is the
	// application's business. Nil means a socket in the plugin's directory.
	Listen func() (net.Listener, error)
	// RemoteTCP allows TCP addresses other than the loopback interface's, and
	// names other than localhost, which are looked up: of plugins that a Runner
	// launches in a container or on another machine. Otherwise a plugin could make
	// its host connect to wherever it says, and ask name servers what it likes.
	// Dial is not restricted.
	RemoteTCP bool
	// AllowUIDs are users whom the plugin may run as besides this process's own, and
	// besides the one of Config.Cmd.SysProcAttr, by number: for wrappers that change
	// the user, such as sudo or setpriv. The plugin's directory, and the host's
	// sockets, are given to the first of them who is not this process's, if this is
	// root; only root can give them away, and connect to that user's sockets. Other
	// hosts need a group of users (Group) for that. On Linux, the kernel says whose
	// process is at the other end of a unix socket, and others are refused before
	// anything is sent to them or read, on brokered connections too. With
	// Config.InsecurePlaintext it must also be the plugin's process, or one that it
	// has started, unless a Runner has launched it, or with Detach or Reattach.
	// Nothing of this holds with Group, nor for Listen and Dial.
	AllowUIDs []int
}

// Output says who gets what the plugin prints, besides Config.Logger, and how much of
// it waits for them.
type Output struct {
	// Stdout and Stderr receive what the plugin prints after its handshake. Stdout
	// gets the plugin's process stdout as well. What arrives on the process's stderr
	// goes to Config.Logger. Nil means that it is dropped (process stdout: logged at
	// level debug). Calls of Write never overlap, also not between the two and
	// RawStderr, so all may be the same writer. A slow writer makes the plugin wait
	// once the buffers between are full; a writer that takes nothing for two seconds
	// does not: see Buffer. A writer that fails is not called again.
	Stdout, Stderr io.Writer
	// RawStderr receives a copy of everything that arrives on the process's stderr,
	// byte for byte, besides the records that Config.Logger gets. Nil means none.
	RawStderr io.Writer
	// Buffer is how many bytes wait for these writers, before more is counted,
	// logged and dropped should a writer be stuck. Zero means 1 MiB; negative is
	// an error.
	Buffer int
}

// settings is a Config that was found valid, with the defaults filled in.
// Nothing in it is shared with the caller except what must be (loggers,
// writers), and nothing in it changes.
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

// target says which plugin is meant. It is one of three: what the recipe launches,
// what a Runner does, or what runs already, to be attached to.
type target struct {
	recipe       recipe // the zero value for the others, as verify, startCmd and processGroup are
	verify       Verifier
	startCmd     func(cmd *exec.Cmd, socketDir string) error
	processGroup bool
	runner       Runner    // nil for the others
	reattach     *Reattach // nil for the others
	detach       bool      // it may outlive this host, which launches it
}

// sockets is a Sockets that was found valid, with the ports and Dial filled in.
type sockets struct {
	Sockets
	gid     *int // Group's number; nil without one
	ownDial bool // Dial is the application's
}

// autoMTLS reports whether host and plugin exchange certificates.
func (s *settings) autoMTLS() bool { return s.tls == nil && !s.plaintext }

// versionList returns the versions this host has, in ascending order.
func (s *settings) versionList() []int { return slices.Sorted(maps.Keys(s.versions)) }

// recipe is what Start takes over from the caller's exec.Cmd.
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

// settle checks a Config and copies it. Its errors say which field is wrong.
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
		return fmt.Errorf("%d versions are more than the %d a plugin reads", len(s.versions), wire.MaxVersions)
	}
	for v, set := range s.versions {
		if v < 0 || v > wire.MaxVersion {
			return fmt.Errorf("version %d is not from 0 to %d", v, wire.MaxVersion)
		}
		for name, p := range set {
			if p == nil {
				return fmt.Errorf("the plugin %q of version %d is nil", name, v)
			}
		}
	}
	return nil
}

// settleTarget checks what says which plugin is meant.
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
		return errors.New("the field Verify is for plugins launched with Cmd: what a Runner launches, or what runs already, is not this host's to verify")
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
		return errors.New("ProcessGroup is for plugins launched with Cmd; a Runner has its own way to end all that it has launched")
	}
	return nil
}

func settleCmd(c *Config, s *settings) error {
	cmd := c.Cmd
	switch {
	case cmd.Process != nil:
		return errors.New("the Cmd has been started already; it is a recipe that Start makes its own command from")
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
		return fmt.Errorf("there is no Curve %d; use P521, P384 or P256", c.Curve)
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
