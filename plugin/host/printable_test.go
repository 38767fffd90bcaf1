package host_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

// nasty is text that controls a terminal: it sets the title, clears the screen, begins
// a line, changes the direction of writing. shownNasty is what must be shown of it.
const (
	nasty      = "\x1b]0;owned\a\x1b[2J\r\n2026/11/29 00:00:00 ERROR forged \x7f\u009b2J\u202e\u2066\u2028"
	shownNasty = `\x1b]0;owned\a\x1b[2J\r\n2026/11/29 00:00:00 ERROR forged \x7f\u009b2J\u202e\u2066\u2028`
)

// nastyMethod fails with a nasty text, and on request ends the plugin with one.
const nastyMethod = "/test.Nasty/Say"

func playNastyWords() {
	stderr := os.Stderr // the process's, which Serve replaces
	record, err := json.Marshal(map[string]string{"@level": "warn", "@message": "hi " + nasty, "@module": nasty, "key " + nasty: nasty})
	must(err)
	os.Stderr.Write(append(record, '\n'))
	// A line is over at its newline.
	plain := strings.ReplaceAll(nasty, "\n", "")
	for _, text := range []string{"plain ", "[INFO] ", "2025-01-01T12:00:00.000Z [INFO]  module: ", "bytes \xff\xfe "} {
		fmt.Fprintln(os.Stderr, text+plain)
	}
	plugin.Serve(&plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"echo": plugin.ServeOnly(func(_ *plugin.Broker, s *h2grpc.Server) error {
		s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Nasty", Methods: []h2grpc.MethodDesc{
			method("Say", func(_ context.Context, in string) (string, error) {
				if in == "crash" {
					stderr.WriteString("panic: " + plain + "\n\ngoroutine 1 [running]:\n" + plain + "\n")
					os.Exit(2)
				}
				return "", status.Error(codes.Internal, nasty+strings.Repeat("A", 8000))
			}),
		}}, nil)
		return nil
	})}})
}

// playNastyCertificate has a certificate for which the error of crypto/x509 contains
// nasty text.
func playNastyCertificate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	ascii := strings.Map(func(r rune) rune {
		if r > 0x7f {
			return -1
		}
		return r
	}, nasty)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: nasty, Organization: []string{nasty}},
		DNSNames:  []string{ascii + ".example", strings.Repeat("a", 10_000)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(err)
	plugin.Serve(&plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"echo": echo{}},
		TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}})
}

// wantPrintable fails unless a text can be shown and has all in it. Lines of the
// library's own begin with two spaces.
func wantPrintable(t *testing.T, what, text string, all ...string) {
	t.Helper()
	for _, r := range strings.ReplaceAll(text, "\n  ", "") {
		if !strconv.IsPrint(r) && r != '\t' {
			t.Errorf("%s: %q", what, text)
			break
		}
	}
	for _, want := range all {
		if !strings.Contains(text, want) {
			t.Errorf("%s: %q is not in %q", what, want, text)
		}
	}
}

// TestLogsArePrintable has plugins that write to their hosts' terminals: through
// package log, which is where the records of a host go that has chosen no logger, and
// through a handler of slog.
func TestLogsArePrintable(t *testing.T) {
	noLeaks(t)
	for _, tc := range []struct {
		name  string
		begin *regexp.Regexp
		level string
		use   func(t *testing.T, w io.Writer) *slog.Logger
	}{
		{"the default", regexp.MustCompile(`^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (DEBUG|INFO|WARN|ERROR) `), " ERROR panic: ", func(t *testing.T, w io.Writer) *slog.Logger {
			out, level := log.Writer(), slog.SetLogLoggerLevel(slog.LevelDebug)
			t.Cleanup(func() {
				log.SetOutput(out)
				slog.SetLogLoggerLevel(level)
			})
			log.SetOutput(w)
			return nil
		}},
		{"slog's text", regexp.MustCompile(`^time=\S+ level=(DEBUG|INFO|WARN|ERROR) msg=`), " level=ERROR msg=\"panic: ", func(_ *testing.T, w io.Writer) *slog.Logger {
			return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var buf bytes.Buffer
			cfg := withEcho(t, "nasty-words")
			cfg.Logger = tc.use(t, &buf)
			c := start(t, cfg)
			if err := c.Conn().Invoke(t.Context(), nastyMethod, &words{Service: "crash"}, new(words)); err == nil {
				t.Error("the plugin has not crashed")
			}
			<-c.Done()
			c.Close()
			failing(t, func() *host.Config {
				other := fakeConfig(t, "nasty-stdout")
				other.Logger = cfg.Logger
				return other
			}())
			escaped := 0
			for text := range strings.Lines(buf.String()) {
				text = strings.TrimSuffix(text, "\n")
				wantPrintable(t, "a record", text)
				if !tc.begin.MatchString(text) {
					t.Errorf("this is not a record: %q", text)
				}
				if strings.Contains(text, "ERROR ") && !strings.Contains(text, `ERROR forged`) || strings.HasPrefix(text, "2026/11/29 00:00:00") {
					t.Errorf("the plugin has written %q", text)
				}
				if strings.Contains(text, "[2J") {
					escaped++
				}
			}
			if escaped < 7 || strings.Count(buf.String(), tc.level) != 1 {
				t.Errorf("%d records have the plugin's words:\n%s", escaped, buf.String())
			}
			if tc.name == "the default" {
				wantPrintable(t, "the records", strings.ReplaceAll(buf.String(), "\n", ""), " WARN hi "+shownNasty, ` DEBUG plain \x1b]0;owned\a`, " DEBUG bytes \ufffd \\x1b]0", ` ERROR panic: \x1b]0;`, ` DEBUG \x1b]0;owned\a\x1b[2J plugin=`)
			}
		})
	}
}

// TestErrorsArePrintable checks a plugin's text in the errors of calls, and of its end.
func TestErrorsArePrintable(t *testing.T) {
	noLeaks(t)
	c := start(t, withEcho(t, "nasty-words"))
	err := c.Conn().Invoke(t.Context(), nastyMethod, new(words), new(words))
	wantPrintable(t, "a call", fmt.Sprint(err), "rpc error: code = Internal desc = "+shownNasty+"AAA", "bytes more)")
	if m := status.Convert(err).Message(); m != nasty+strings.Repeat("A", 8000) {
		t.Errorf("the message is %.300q", m)
	}
	err = c.Conn().Invoke(t.Context(), nastyMethod, &words{Service: "crash"}, new(words))
	wantPrintable(t, "a call that ends the plugin", fmt.Sprint(err), "exit status 2")
	exit := (*host.ExitError)(nil)
	if !errors.As(err, &exit) || !bytes.Contains(exit.Stderr, []byte("panic: \x1b]0;owned")) {
		t.Fatalf("got %v", err)
	}
	wantPrintable(t, "the plugin's end", exit.Error(), `| panic: \x1b]0;owned\a\x1b[2J\r2026`)

	// What is left of them if the plugin's library refuses control bytes.
	cfg := withEcho(t, "lends-elsewhere")
	cfg.Env = append(cfg.Env, networkEnv+"=unix", addressEnv+"=/none\u009b2J\u202e\u2066")
	c = start(t, cfg)
	var lent words
	if err := c.Conn().Invoke(t.Context(), lenderMethod, new(words), &lent); err != nil {
		t.Fatal(err)
	}
	cc, err := c.Broker().Dial(t.Context(), idIn(t, lent.Service))
	if err != nil {
		t.Fatal(err)
	}
	wantPrintable(t, "a brokered address", fmt.Sprint(cc.Connect(t.Context())), "dialling: ", `/none\u009b2J\u202e\u2066`)
	wantPrintable(t, "a brokered call", fmt.Sprint(cc.Invoke(t.Context(), echoMethod, new(words), new(words))), `/none\u009b2J\u202e\u2066`)
	cc.Close()
	closes(t, c)
}

// TestStartErrorsArePrintable checks certificates' names, and what an application's own
// code reports about the plugin.
func TestStartErrorsArePrintable(t *testing.T) {
	noLeaks(t)
	own := errors.New("the box says " + nasty + strings.Repeat("A", 8000))
	for _, tc := range []struct {
		name  string
		stage host.Stage
		cfg   func() *host.Config
		want  []string
	}{
		{"a certificate", host.StageConnect, func() *host.Config {
			cfg := withEcho(t, "nasty-certificate")
			cfg.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
			return cfg
		}, []string{"x509: certificate is valid for ", `\x1b]0;owned\a\x1b[2J\r\n2026`, "bytes more)", "\n  stderr:"}},
		{"an address", host.StageConnect, func() *host.Config { return fakeConfig(t, "nasty-stdout") }, []string{`/none\u009b2J\u202e`, `| \x1b]0;owned`}},
		{"a Runner's launch", host.StageLaunch, func() *host.Config { return runnerConfig(t, "real", &runner{fail: own}) }, []string{"the box says " + shownNasty, "bytes more)"}},
		{"a Runner's addresses", host.StageCheck, func() *host.Config {
			return runnerConfig(t, "real", &runner{inside: "/elsewhere" + nasty})
		}, []string{"cannot translate", "/elsewhere" + shownNasty}},
		{"a Runner's diagnosis", host.StageHandshake, func() *host.Config {
			return runnerConfig(t, "exits-at-once", &runner{diagnose: nasty})
		}, []string{`| 2026/11/29 00:00:00 ERROR forged \x7f\u009b2J\u202e`}},
		{"a Verifier", host.StageVerify, func() *host.Config {
			return verifying(func(*testing.T) host.Verifier {
				return func(context.Context, string, io.Reader) error { return own }
			})(t)
		}, []string{"the box says " + shownNasty}},
		{"a Dial", host.StageConnect, func() *host.Config {
			cfg := withEcho(t, "real")
			cfg.Sockets.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, own }
			return cfg
		}, []string{"the box says " + shownNasty}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := failing(t, tc.cfg())
			wantPrintable(t, tc.name, err.Error(), tc.want...)
			if err.Stage != tc.stage {
				t.Errorf("it fails while %v: %v", err.Stage, err)
			}
			if len(err.Error()) > 20_000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}
