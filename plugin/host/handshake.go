package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
	"github.com/tenonrpc/tenon/plugin/internal/procid"
	"github.com/tenonrpc/tenon/wire"
)

// terms is what host and plugin have agreed on.
type terms struct {
	version          int
	set              plugin.Set
	network, address string
	certificate      []byte // the plugin's, in DER; nil unless it is to be pinned
}

// readHandshake waits for the first line on the plugin's stdout.
func readHandshake(ctx context.Context, p *process) (wire.Handshake, error) {
	var none wire.Handshake
	var line firstLine
	select {
	case line = <-p.line:
	case <-p.drained:
		// The plugin has ended, but something else holds its stdout.
		select {
		case line = <-p.line:
		default:
		}
	case <-ctx.Done():
		return none, noHandshake(ctx, p)
	}
	if line.complete || len(line.text) > hostwire.MaxHandshakeLine {
		h, err := hostwire.ParseHandshake(line.text)
		if err != nil {
			return none, &problem{StageHandshake, parseHint(err), err}
		}
		return h, nil
	}
	return none, endedEarly(ctx, p, line.text)
}

// noHandshake returns the error for a handshake that did not come in time.
func noHandshake(ctx context.Context, p *process) error {
	err := &problem{stage: StageHandshake}
	switch text := p.stdoutTail.Bytes(); {
	case !errors.Is(ctx.Err(), context.DeadlineExceeded):
		err.err = fmt.Errorf("gave up: %w", context.Cause(ctx))
	case len(bytes.TrimSpace(text)) > 0:
		err.err = fmt.Errorf("the plugin began a line on stdout and did not end it in time: %w", context.Cause(ctx))
		err.hint = "the handshake must end with a newline, and the plugin must flush it; check what the plugin prints to stdout before it serves"
	default:
		err.err = fmt.Errorf("the plugin printed no handshake line in time: %w", context.Cause(ctx))
		err.hint = "check that the program is a plugin, and that nothing it does before it serves can block (networks, locks, input); a slow plugin needs a longer StartTimeout"
	}
	return err
}

// endedEarly returns the error for a stdout that ended before the handshake line did.
func endedEarly(ctx context.Context, p *process, begun []byte) error {
	ctx, cancel := context.WithTimeout(ctx, exitNoticeWait)
	defer cancel()
	if !await(ctx, p.exited) {
		return &problem{StageHandshake,
			"the plugin must keep its stdout open while it runs",
			errors.New("the plugin closed its stdout before it printed a handshake line, and is still running")}
	}
	<-p.drained // for all of stderr
	if len(begun) > 0 {
		return &problem{StageHandshake,
			"the handshake must end with a newline; check what the plugin prints to stdout before it serves",
			errors.New("the plugin ended in the middle of its first line on stdout")}
	}
	early := &problem{StageHandshake, endHint(p), errors.New("the plugin ended before it printed a handshake line")}
	if early.hint == cookieHint {
		early.err = &namedError{early.err.Error(), ErrCookieRefused}
	}
	return early
}

// cookieWords occur in the texts with which plugins of known libraries refuse the
// cookie, in lower case: those of the ports, of go-plugin and of package plugin.
var cookieWords = []string{"cookie", "executed directly", "started by hand"}

// loaderWords occur in the texts with which the dynamic loaders of Linux (glibc, musl),
// macOS and FreeBSD refuse a program, in lower case. notFoundStatus is the exit status
// that goes with them, and that of a shell that has not found a program.
var loaderWords = []string{"error while loading shared libraries", "error loading shared library", "library not loaded", "cannot open shared object file", "shared object \""}

// cookieHint is what endHint says if the plugin refused the cookie.
const cookieHint = "the plugin refused the magic cookie: it belongs to another application, or MagicCookieKey and MagicCookieValue are not those that it was built with"

// endHint guesses from the end of a plugin's stderr why it ended.
func endHint(p *process) string {
	text := string(bytes.ToLower(p.stderrTail.Bytes()))
	lines := strings.Split(text, "\n")
	switch {
	case slices.ContainsFunc(lines, func(line string) bool { return hostwire.IsPanicStart([]byte(line)) }):
		return "the plugin crashed; its stderr below says where"
	case p.status.Signal != "":
		return "a signal ended the plugin; look for memory limits, sandboxes and the system's log"
	case p.status.Code == 1 && slices.ContainsFunc(cookieWords, func(words string) bool { return strings.Contains(text, words) }):
		return cookieHint
	case p.status.Code == procid.StatusNotFound, slices.ContainsFunc(loaderWords, func(words string) bool { return strings.Contains(text, words) }):
		return "a program or a library that the plugin needs was not found; of the host's variables it gets only those that plugin/MIGRATING.md lists, and Config.Env adds others"
	case text != "":
		return "the plugin's stderr below may say why"
	}
	return "the plugin printed nothing; run it by hand to see whether it starts at all"
}

// parseHint returns what a host can add to the parser's own advice.
func parseHint(err error) string {
	var field *hostwire.HandshakeError
	printed := errors.As(err, &field) && field.Field == "core version" && errors.Is(err, hostwire.ErrVersionSyntax)
	switch {
	case printed:
		return "something was printed to stdout before the handshake, without a newline; stdout belongs to the protocol until the plugin serves"
	case errors.Is(err, hostwire.ErrEmptyLine), errors.Is(err, hostwire.ErrNotHandshake),
		errors.Is(err, hostwire.ErrControlByte), errors.Is(err, hostwire.ErrFieldCount),
		errors.Is(err, hostwire.ErrLineTooLong):
		return "a plugin's stdout belongs to the protocol until it serves; it can print to stderr, which is logged"
	case errors.Is(err, hostwire.ErrNetRPC):
		return "with hashicorp/go-plugin, set GRPCServer in the plugin's ServeConfig"
	case errors.Is(err, hostwire.ErrCoreVersion), errors.Is(err, hostwire.ErrVersionSyntax),
		errors.Is(err, hostwire.ErrNetwork), errors.Is(err, hostwire.ErrProtocol), errors.Is(err, hostwire.ErrAddress):
		return "the plugin's library speaks a different protocol from this host's; check that the two belong together"
	case errors.Is(err, hostwire.ErrBase64), errors.Is(err, hostwire.ErrCertificateTooLarge):
		return "the plugin's certificate cannot be read, so the connection to it cannot be secured"
	}
	return ""
}

// check compares a handshake with what the host allows.
func check(s *settings, h wire.Handshake) (*terms, error) {
	t := &terms{version: h.AppVersion, network: h.Network, address: h.Address}
	set, ok := s.versions[h.AppVersion]
	if !ok {
		return nil, &problem{StageCheck,
			"install a plugin and a host that share a version; a plugin that shares none announces its lowest, one in test mode its highest or what PLUGIN_PROTOCOL_VERSIONS says",
			&namedError{fmt.Sprintf("the plugin speaks version %d of the application's protocol, this host %s", h.AppVersion, joinInts(s.versionList())), ErrVersion}}
	}
	t.set = set
	if h.Protocol != wire.ProtocolGRPC {
		return nil, problemf(StageCheck, "the plugin speaks %q; this host speaks only grpc", h.Protocol)
	}
	if limit := maxSocketPath(); h.Network == wire.NetworkUnix && len(h.Address) > limit {
		return nil, &problem{StageCheck,
			"set TMPDIR to a short directory, such as /tmp",
			fmt.Errorf("the path of the plugin's socket is %d bytes long, and the system's limit is %d: %s",
				len(h.Address), limit, quoted(h.Address))}
	}
	if err := checkMux(s, h); err != nil {
		return nil, err
	}
	if err := checkCertificate(s, h.Certificate); err != nil {
		return nil, err
	}
	if s.autoMTLS() {
		t.certificate = h.Certificate
	}
	return t, nil
}

// checkCertificate refuses a plugin whose use of TLS is not what the host asked for.
// Nothing falls back: a plugin that announces no certificate under AutoMTLS could be
// anyone's.
func checkCertificate(s *settings, der []byte) error {
	switch {
	case s.plaintext && len(der) > 0:
		return &problem{StageCheck,
			"InsecurePlaintext is set, but the plugin uses TLS anyway; leave it unset",
			&namedError{"the plugin announced a certificate, but none was asked for", ErrCertificate}}
	case !s.autoMTLS():
		// Config.TLS decides whom to trust. What the plugin announces is ignored: it
		// must not be able to widen that.
		return nil
	case len(der) == 0:
		return &problem{StageCheck,
			"build the plugin with a library that has AutoMTLS (go-plugin 1.1 or later); InsecurePlaintext would let everyone on this machine who reaches its socket use it",
			&namedError{"the plugin announced no certificate, so the connection to it cannot be secured", ErrCertificate}}
	}
	if err := automtls.ParseDER(der); err != nil {
		return &problem{StageCheck, "the plugin's library is broken, or the certificate it was given is", err}
	}
	return nil
}

// joinInts returns numbers as "2, 3".
func joinInts(list []int) string {
	var b []byte
	for i, n := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(b)
}
