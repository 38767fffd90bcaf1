package errcode_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/certs"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/errcode"
	"github.com/tenonrpc/tenon/plugin/host/fleet"
	"github.com/tenonrpc/tenon/plugin/host/retry"
	"github.com/tenonrpc/tenon/plugin/host/supervise"
	"github.com/tenonrpc/tenon/plugin/host/verify"
	"github.com/tenonrpc/tenon/testdata/examples/kvmain"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
	"github.com/tenonrpc/tenon/wire/fields"
)

var update = flag.Bool("update", false, "write plugin/TROUBLESHOOTING.md")

func TestMain(m *testing.M) { os.Exit(kvmain.Run(m)) }

// exported has an example of each exported error, and its code.
var exported = map[string]struct {
	err  error
	code string
}{
	"h2grpc RegistrationError":              {&h2grpc.RegistrationError{Err: errors.New("no handler")}, "grpc.registration"},
	"h2grpc ErrHandlersRunning":             {h2grpc.ErrHandlersRunning, "grpc.handlers"},
	"h2grpc ErrRegistered":                  {&h2grpc.RegistrationError{Err: h2grpc.ErrRegistered}, "grpc.registered"},
	"h2grpc ErrServerClosed":                {h2grpc.ErrServerClosed, "grpc.closed"},
	"h2grpc ErrTooLarge":                    {h2grpc.ErrTooLarge, "grpc.size"},
	"plugin ErrBrokerClosed":                {plugin.ErrBrokerClosed, "broker.closed"},
	"plugin ErrCookie":                      {plugin.ErrCookie, "serve.cookie"},
	"plugin ErrHostGone":                    {plugin.ErrHostGone, "serve.host"},
	"plugin ErrOneSided":                    {plugin.ErrOneSided, "serve.side"},
	"plugin/certs ErrMissing":               {certs.ErrMissing, "certs.missing"},
	"plugin/certs ErrExpired":               {certs.ErrExpired, "certs.expired"},
	"plugin/certs ErrNotYetValid":           {certs.ErrNotYetValid, "certs.early"},
	"plugin/certs ErrUnknownCA":             {certs.ErrUnknownCA, "certs.authority"},
	"plugin/certs ErrName":                  {certs.ErrName, "certs.name"},
	"plugin/certs ErrUsage":                 {certs.ErrUsage, "certs.usage"},
	"plugin/certs ErrKey":                   {certs.ErrKey, "certs.key"},
	"plugin/host ExitError":                 {&host.ExitError{}, "plugin.exited"},
	"plugin/host StartError":                {&host.StartError{Stage: host.StageCheck, Err: errors.New("another protocol")}, "start.check"},
	"plugin/host ErrCertificate":            {host.ErrCertificate, "handshake.certificate"},
	"plugin/host ErrCookieRefused":          {host.ErrCookieRefused, "handshake.cookie"},
	"plugin/host ErrKilled":                 {host.ErrKilled, "stop.killed"},
	"plugin/host ErrMuxUnsupported":         {host.ErrMuxUnsupported, "handshake.mux"},
	"plugin/host ErrNotKilled":              {host.ErrNotKilled, "stop.unknown"},
	"plugin/host ErrNotRunning":             {host.ErrNotRunning, "attach.gone"},
	"plugin/host ErrNotServing":             {host.ErrNotServing, "plugin.health"},
	"plugin/host ErrVersion":                {host.ErrVersion, "handshake.version"},
	"plugin/host/fleet ErrGroupClosed":      {fleet.ErrGroupClosed, "fleet.closed"},
	"plugin/host/fleet ErrNameTaken":        {fleet.ErrNameTaken, "fleet.name"},
	"plugin/host/fleet ErrWorldWritable":    {fleet.ErrWorldWritable, "fleet.writable"},
	"plugin/host/retry Error":               {&retry.Error{}, "retry.failed"},
	"plugin/host/retry ErrAttempts":         {retry.ErrAttempts, "retry.attempts"},
	"plugin/host/retry ErrTotal":            {retry.ErrTotal, "retry.total"},
	"plugin/host/retry ErrUnhelpful":        {retry.ErrUnhelpful, "retry.unhelpful"},
	"plugin/host/supervise GaveUpError":     {&supervise.GaveUpError{}, "supervise.gave-up"},
	"plugin/host/supervise ErrDoNotRestart": {&supervise.GaveUpError{Err: supervise.ErrDoNotRestart}, "supervise.final"},
	"plugin/host/supervise ErrStopped":      {supervise.ErrStopped, "supervise.stopped"},
	"plugin/host/verify ErrMismatch":        {verify.ErrMismatch, "verify.mismatch"},
	"plugin/host/verify ErrNotListed":       {verify.ErrNotListed, "verify.unlisted"},
	"plugin/host/verify ErrSignature":       {verify.ErrSignature, "verify.signature"},
	"wire/fields ErrMessage":                {fields.ErrMessage, "wire.message"},
	"wire/fields ErrTooLong":                {fields.ErrTooLong, "wire.length"},
	"wire/fields ErrUTF8":                   {fields.ErrUTF8, "wire.text"},
}

// TestEveryError: each error that the library exports has a code.
func TestEveryError(t *testing.T) {
	api, err := os.ReadFile("../../../testdata/api.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^(\S+) (?:var (Err\w+)|type (\w*Error) struct)`).FindAllStringSubmatch(string(api), -1)
	if len(lines) < 30 {
		t.Fatalf("testdata/api.txt has %d errors", len(lines))
	}
	for _, line := range lines {
		name := line[1] + " " + line[2] + line[3]
		example, ok := exported[name]
		if !ok {
			t.Errorf("%s has no code", name)
			continue
		}
		for _, err := range []error{example.err, fmt.Errorf("wrapped: %w", example.err)} {
			if c, ok := errcode.Of(err); !ok || c.Name != example.code {
				t.Errorf("%s has the code %q, want %q", name, c.Name, example.code)
			}
		}
	}
}

// TestStarts: errors of starts that are made up.
func TestStarts(t *testing.T) {
	exit := host.ExitStatus{Ended: true, Code: 1}
	other := errors.New("something else")
	for _, test := range []struct {
		err  host.StartError
		want string
	}{
		{host.StartError{Stage: host.StageConfig, Err: other}, "start.config"},
		{host.StartError{Stage: host.StagePrepare, Err: other}, "start.prepare"},
		{host.StartError{Stage: host.StageVerify, Err: other}, "start.verify"},
		{host.StartError{Stage: host.StageVerify, Err: verify.ErrMismatch}, "verify.mismatch"},
		{host.StartError{Stage: host.StageLaunch, Err: other}, "start.launch"},
		{host.StartError{Stage: host.StageLaunch, Err: fs.ErrPermission}, "launch.permission"},
		{host.StartError{Stage: host.StageHandshake, Err: other}, "start.handshake"},
		{host.StartError{Stage: host.StageHandshake, Err: other, ExitStatus: exit}, "handshake.exit"},
		{host.StartError{Stage: host.StageHandshake, Err: context.DeadlineExceeded}, "start.timeout"},
		{host.StartError{Stage: host.StageConnect, Err: context.Canceled}, "start.cancelled"},
		{host.StartError{Stage: host.StageConnect, Err: other, ExitStatus: exit}, "connect.exit"},
		{host.StartError{Stage: host.StageConnect, Err: other}, "start.connect"},
		{host.StartError{Stage: host.StageAttach, Err: other}, "start.attach"},
		{host.StartError{Stage: host.StageAttach, Err: host.ErrNotRunning}, "attach.gone"},
	} {
		if c, ok := errcode.Of(&test.err); !ok || c.Name != test.want {
			t.Errorf("%v has the code %q, want %q", &test.err, c.Name, test.want)
		}
	}
	for _, err := range []error{nil, other, context.Canceled, context.DeadlineExceeded, fs.ErrNotExist, status.Error(codes.ResourceExhausted, "no")} {
		if c, ok := errcode.Of(err); ok {
			t.Errorf("%v has the code %q", err, c.Name)
		}
	}
}

// TestReal: errors of starts that fail.
func TestReal(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	config := func(change func(*host.Config)) *host.Config {
		c := &host.Config{
			Handshake: kvshared.Handshake,
			Cmd:       exec.Command(self),
			Env:       []string{kvmain.Variable + "=1", "GORACE=atexit_sleep_ms=0"},
			Logger:    slog.New(slog.DiscardHandler),
		}
		change(c)
		return c
	}
	for _, test := range []struct {
		want   string
		change func(*host.Config)
	}{
		{"start.config", func(c *host.Config) { c.Cmd = nil }},
		{"launch.missing", func(c *host.Config) { c.Cmd = exec.Command(self + ".none") }},
		{"handshake.cookie", func(c *host.Config) { c.Handshake.MagicCookieValue = "another" }},
		{"handshake.version", func(c *host.Config) { c.Handshake.ProtocolVersion = 77 }},
		{"verify.mismatch", func(c *host.Config) { c.Verify = verify.SHA256(make([]byte, 32)) }},
	} {
		t.Run(test.want, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			client, err := host.Start(ctx, config(test.change))
			if err == nil {
				client.Close()
				t.Fatal("it was started")
			}
			if c, ok := errcode.Of(err); !ok || c.Name != test.want {
				t.Errorf("the code is %q: %v", c.Name, err)
			}
		})
	}
	t.Run("Every", func(t *testing.T) {
		_, err := retry.Start(t.Context(), config(func(c *host.Config) { c.Cmd = exec.Command(self + ".none") }), retry.Policy{})
		var names []string
		for _, c := range errcode.Every(err) {
			names = append(names, c.Name)
		}
		if got := strings.Join(names, " "); got != "launch.missing start.launch retry.unhelpful retry.failed" {
			t.Errorf("the codes are %s: %v", got, err)
		}
	})
}

// TestTable: names are unique and regular, and plugin/TROUBLESHOOTING.md has them all.
func TestTable(t *testing.T) {
	regular := regexp.MustCompile(`^[a-z]+\.[a-z]+(-[a-z]+)*$`)
	seen := map[string]bool{}
	var table strings.Builder
	table.WriteString("| code | what it means | what to do |\n| --- | --- | --- |\n")
	for _, c := range errcode.All() {
		if seen[c.Name] || !regular.MatchString(c.Name) {
			t.Errorf("the name %q is not regular, or there twice", c.Name)
		}
		seen[c.Name] = true
		if !strings.HasSuffix(c.Means, ".") || c.Do != "" && !strings.HasSuffix(c.Do, ".") {
			t.Errorf("%s: %q and %q are to be sentences", c.Name, c.Means, c.Do)
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", c.Name, c.Means, c.Do)
	}
	const page, begin, end = "../../TROUBLESHOOTING.md", "<!-- codes -->\n", "<!-- end -->"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(strings.ReplaceAll(string(text), "\r", ""), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", page)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+table.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != table.String() {
		t.Errorf("%s is not up to date: go test ./plugin/host/errcode -update", page)
	}
}
