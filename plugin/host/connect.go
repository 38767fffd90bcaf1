package host

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/plugin/internal/control"
	"github.com/tenonrpc/tenon/plugin/internal/files"
	"github.com/tenonrpc/tenon/plugin/internal/peercred"
)

// connect connects to the plugin and opens the streams that stay open for its life: the
// broker's and the plugin's output. Plugins expect their hosts to do so at once.
func (c *Client) connect(ctx context.Context) error {
	// A plugin that dies must not make its host wait for the time-out.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-c.proc.exited:
			cancel(errEnded)
		case <-ctx.Done():
		}
	}()

	client, server := c.tlsConfigs()
	config := c.settings.client
	config.Dial = c.dialRaw
	if c.settings.multiplex {
		if err := c.connectMux(ctx); err != nil {
			return c.connectProblem(ctx, err)
		}
		config.Dial = c.dialMux
	}
	config.TLS = client
	if config.Logger == nil {
		config.Logger = c.proc.own
	}
	config.MapError = chain(c.mapError, config.MapError)
	if config.Exempt == nil {
		config.Exempt = control.Own
	}
	c.conn = h2grpc.NewClient(&config)
	if err := c.conn.Connect(ctx); err != nil {
		return c.connectProblem(ctx, err)
	}
	if c.settings.autoMTLS() && !c.dialled.known.Load() {
		// The plugin decides whom it serves. This host still knows that it is the right
		// plugin.
		c.proc.own.Warn("the plugin does not ask for this host's certificate: whoever reaches its socket can use it")
	}
	c.streams = openStreams(c, client, server)
	return nil
}

// errEnded reports that the plugin has ended.
var errEnded = errors.New("the plugin has ended")

// dialRaw opens a connection to the plugin. It fails once the plugin has ended:
// whatever answers at its address then is something else.
func (c *Client) dialRaw(ctx context.Context) (net.Conn, error) {
	if c.proc.hasEnded() {
		return nil, errEnded
	}
	dial := func(ctx context.Context) (net.Conn, error) { return c.dial(ctx, c.terms.network, c.terms.address) }
	if c.isOutside() {
		dial = c.dialOutside
	}
	conn, err := dial(ctx)
	if err != nil {
		c.dialled.err.Store(&err)
	}
	c.dialled.times.Add(1)
	return conn, err
}

// tlsConfigs returns the TLS configurations for connections to the plugin and from it.
// Both are nil for plaintext.
func (c *Client) tlsConfigs() (client, server *tls.Config) {
	switch s := c.settings; {
	case s.plaintext:
		return nil, nil
	case s.tls != nil:
		client = s.tls.Clone()
		if client.ServerName == "" {
			client.ServerName = "localhost"
		}
		return client, s.tls.Clone()
	}
	if err := automtls.CheckValidity(c.terms.certificate); err != nil {
		c.proc.own.Warn("the plugin's certificate is used despite its dates", "err", err)
	}
	client = automtls.ClientConfig(c.identity, c.terms.certificate, &c.dialled.floor)
	certificate := client.GetClientCertificate
	client.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		c.dialled.known.Store(true)
		return certificate(r)
	}
	return client, automtls.ServerConfig(c.identity, c.terms.certificate, &c.dialled.floor)
}

// connectProblem returns the error for err, with the reason why the plugin could not be
// connected to.
func (c *Client) connectProblem(ctx context.Context, err error) error {
	where := c.terms.network + " " + quoted(c.terms.address)
	// The connection breaks before the operating system reports the death that broke
	// it.
	if isHangup(err) {
		waitFor(c.proc.exited, exitStatusWait)
	}
	if c.proc.hasEnded() {
		<-c.proc.drained // for all of stderr
		text := "the plugin ended before there was a connection to " + where
		if c.settings.target.reattach != nil {
			return &problem{StageConnect, attachHint, &namedError{text, ErrNotRunning}}
		}
		return &problem{StageConnect, endHint(c.proc), &namedError{text, errEnded}}
	}
	if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) {
		<-ctx.Done() // the attempt's own time-out may come first
	}
	if ctx.Err() != nil {
		return &problem{StageConnect,
			"something accepts connections there and does not answer; check that the plugin serves gRPC on the address it announced",
			fmt.Errorf("no connection to %s in time: %w", where, context.Cause(ctx))}
	}
	if dialErr := c.dialled.err.Load(); dialErr != nil {
		err = *dialErr
		if op := (*net.OpError)(nil); errors.As(err, &op) {
			err = op.Err // the rest of it repeats the address
		}
		hint := dialHint(err)
		if errors.Is(err, fs.ErrPermission) && c.maskedSocket() {
			hint = "the plugin's umask has removed the permission to connect to its socket; start this host, or the plugin, with a umask such as 0077"
		}
		return &problem{StageConnect, hint, fmt.Errorf("no connection to %s: %w", where, err)}
	}
	if isHangup(err) {
		return &problem{StageConnect, c.hangupHint(),
			&namedError{"no connection to " + where + ": the plugin closed it at once", err}}
	}
	p := &problem{StageConnect, "", fmt.Errorf("no connection to %s: %w", where, err)}
	switch record, mux := (tls.RecordHeaderError{}), (*broker.MuxProtocolError)(nil); {
	case errors.As(err, &mux):
		// It is chance whether this shows while a stream is opened or later.
		p.err = fmt.Errorf("no connection to %s: %w", where, mux)
		p.hint = "the plugin announced multiplexing but speaks something else; leave Config.Multiplex unset to do without"
	case errors.Is(err, automtls.ErrPin):
		p.hint = "someone else may have taken over the plugin's address; nothing was sent to it"
	case errors.Is(err, automtls.ErrCurve):
		p.hint = "set Config.Curve to P256, which every TLS library has"
	case errors.As(err, &record):
		p.hint = c.hangupHint()
	case isAlert(err):
		p.hint = "whatever answers there rejects this host's certificate, or its TLS; the address may be another plugin's"
	}
	return p
}

// isAlert reports whether the peer ended a connection with an alert of TLS.
func isAlert(err error) bool {
	op := (*net.OpError)(nil)
	return errors.As(err, &op) && op.Op == "remote error" // crypto/tls marks them so
}

// isHangup reports whether the peer closed a connection. The error depends on which
// side was writing at the time.
func isHangup(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		isReset(err)
}

// namedError is an error with another text.
type namedError struct {
	text string
	err  error
}

func (e *namedError) Error() string { return e.text }
func (e *namedError) Unwrap() error { return e.err }

// dialHint returns what to do about an address that could not be dialled.
func dialHint(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return "nobody listens there; the plugin must listen before it prints its handshake"
	case errors.Is(err, peercred.ErrStranger):
		return "nothing was sent to it; to run a plugin as another user, set Cmd.SysProcAttr.Credential, or, if a wrapper changes the user, add that user's number to Sockets.AllowUIDs; a plugin whose process this host did not start needs AutoMTLS"
	case errors.Is(err, errRemote):
		return "nothing was sent to it; a plugin on another machine needs Sockets.RemoteTCP"
	case errors.Is(err, fs.ErrPermission):
		return "the plugin's socket belongs to another user, so only root can connect to it; host and plugin must run as the same user, or share a group (Sockets.Group)"
	}
	return "the plugin announced an address that cannot be used"
}

// maskedSocket reports whether the plugin's socket belongs to this user, but its mode
// does not let the user connect.
func (c *Client) maskedSocket() bool {
	if c.socket == "" {
		return false
	}
	info, err := os.Lstat(c.socket)
	return err == nil && files.Own(info) && info.Mode()&0o200 == 0
}

// hangupHint returns what to do about a plugin that does not speak the expected
// protocol.
func (c *Client) hangupHint() string {
	if c.settings.plaintext {
		return "the plugin may expect TLS; leave InsecurePlaintext unset"
	}
	return "the plugin does not speak TLS there, or does not accept the host's certificate; the address may be another plugin's"
}

// chain returns a MapError that applies first and then second, which may be nil.
func chain(first, second func(error) error) func(error) error {
	if second == nil {
		return first
	}
	return func(err error) error { return second(first(err)) }
}
