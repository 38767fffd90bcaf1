//go:build unix

package upstreamtests

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin/interop/cases/leak"
	"github.com/tenonrpc/tenon/plugin/interop/upstreamtests/modes"
)

// judged is a test of go-plugin's that the stand-in must pass.
type judged struct {
	test  string
	only  string   // the part of it that is run; "" for all
	modes []string // what it starts
	// hasty says that the test's host waits 50 ms for its plugin: on a busy
	// machine it passes without having heard of the plugin. It is repeated
	// until it has, hastyRuns times at most.
	hasty bool
	says  string // what the test prints once it has heard of the plugin
	// killed says that the test kills the plugin, or lets it crash.
	killed bool
}

const hastyRuns = 10

var passing = []judged{
	{test: "TestClient", modes: []string{"mock"}},
	{test: "TestClient_killStart", modes: []string{"bad-version"}},
	{test: "TestClient_Start_Timeout", modes: []string{"start-timeout"}, hasty: true},
	{test: "TestClientStart_badVersion", modes: []string{"bad-version"}, hasty: true},
	{test: "TestClientStart_badNegotiatedVersion", modes: []string{"test-versioned-plugins"}, hasty: true,
		says: "incompatible API version", killed: true},
	{test: "TestClient_grpc", modes: []string{"test-grpc"}},
	{test: "TestClient_grpc_servercrash", modes: []string{"test-grpc"}, killed: true},
	{test: "TestClient_grpcNotAllowed", modes: []string{"test-grpc"}, killed: true},
	{test: "TestClient_grpcSyncStdio", modes: []string{"test-grpc"}},
	{test: "TestClient_noStdoutScannerRace", modes: []string{"test-grpc"}},
	{test: "TestClient_Stderr", modes: []string{"stderr"}},
	{test: "TestClient_StderrJSON", modes: []string{"stderr-json"}},
	{test: "TestClient_textLogLevel", modes: []string{"level-warn-text"}},
	{test: "TestClient_Stdin", modes: []string{"stdin"}},
	{test: "TestClient_logger", only: "grpc", modes: []string{"test-interface-logger-grpc"}},
	{test: "TestServerLogPanic", modes: []string{"test-interface-logger-grpc"}, killed: true},
	{test: "TestClient_reattachGRPC", modes: []string{"test-grpc"}},
	{test: "TestClient_SkipHostEnv", modes: []string{"test-skip-host-env-false", "test-skip-host-env-true"}},
	{test: "TestClient_RequestGRPCMultiplexing_UnsupportedByPlugin",
		modes: []string{"mux-grpc-with-old-plugin", "mux-grpc-with-unsupported-plugin"}},
	{test: "TestClient_TLS_grpc", modes: []string{"test-grpc-tls"}},
	{test: "TestClient_mtlsClient", modes: []string{"test-mtls"}, killed: true},
	{test: "TestServer_testMode_AutoMTLS", modes: []string{"test-mtls"}},
	{test: "TestClient_versionedClient", modes: []string{"test-versioned-plugins"}, killed: true},
	{test: "TestClient_wrongVersion", modes: []string{"test-proto-upgraded-plugin"}, killed: true},
	{test: "TestClient_legacyServer", modes: []string{"test-proto-upgraded-client"}, killed: true},
	{test: "TestSetGroup", modes: []string{"mock"}},
}

// Why a test is left out. The source is asked whether the first two are so.
const (
	netRPC = "its plugins serve net/rpc"
	alone  = "starts no plugin: go-plugin alone"
)

var leftOut = map[string]string{
	"TestClient_testInterfaceReattach": netRPC,
	"TestClient_testCleanup":           netRPC,
	"TestClient_testInterface":         netRPC,
	"TestClient_reattach":              netRPC,
	"TestClient_reattachNoProtocol":    netRPC,
	"TestClient_SecureConfig":          netRPC,
	"TestClient_TLS":                   netRPC,
	"TestClient_ping":                  netRPC,
	"TestClient_mtlsNetRPCClient":      netRPC,

	"TestClient_reattachNotFound":        alone,
	"TestClient_secureConfigAndReattach": alone,
	"TestClient_logStderr":               alone,
	"TestClient_logStderrParseJSON":      alone,
	"TestBasicError_ImplementsError":     alone,
	"TestBasicError_MatchesMessage":      alone,
	"TestNewBasicError_nil":              alone,
	"TestGRPC_App":                       alone,
	"TestGRPCConn_BidirectionalPing":     alone,
	"TestGRPCC_Stream":                   alone,
	"TestGRPC_Ping":                      alone,
	"TestGRPC_Reflection":                alone,
	"TestClient_App":                     alone,
	"TestClient_syncStreams":             alone,
	"TestServer_testMode":                alone,
	"TestServer_RPC":                     alone,
	"TestRmListener_impl":                alone,
	"TestRmListener":                     alone,
	"TestProtocolSelection_no_server":    alone,
	"TestServer_testStdLogger":           alone,
	"TestUnixSocketDir":                  alone,
	"TestUnixSocketGroupPermissions":     alone,

	"TestClient_cmdAndReattach": "its configuration is refused before a plugin is started",
	"TestClient_legacyClient":   "its host speaks version 1, which is net/rpc there",
	"TestHelperProcess":         "the plugins themselves: the stand-in is in its place",
	"BenchmarkClientLogging":    "a benchmark, which starts no plugin",
}

// leftOutPart is the rest of a test of which only a part is run.
var leftOutPart = map[string]string{"TestClient_logger/netrpc": netRPC}

// TestModes checks that the modes are those of go-plugin, each of the right
// kind and tried by a test.
func TestModes(t *testing.T) {
	if len(source.modes) != len(modes.All) {
		t.Errorf("go-plugin's tests have %d modes, the list has %d", len(source.modes), len(modes.All))
	}
	count := make(map[modes.Kind]int)
	for _, m := range modes.All {
		if kind, ok := source.modes[m.Name]; !ok || kind != m.Kind {
			t.Errorf("mode %s is listed as %v; in go-plugin it is %v", m.Name, m.Kind, kind)
		}
		var by []string
		for _, j := range passing {
			if slices.Contains(j.modes, m.Name) {
				by = append(by, j.test)
			}
		}
		// No test of go-plugin's starts invalid-rpc-address.
		if len(by) == 0 && m.Kind != modes.NetRPC && m.Name != "invalid-rpc-address" {
			t.Errorf("no test tries mode %s", m.Name)
		}
		count[m.Kind]++
		printf("mode  %-33s %-19v %s\n", m.Name, m.Kind, m.Outcome)
	}
	printf("%d modes: %d through plugin.Serve over gRPC, %d print a line, %d are net/rpc and not served\n\n",
		len(modes.All), count[modes.Served], count[modes.Line], count[modes.NetRPC])
	inReadme(t, "That binary can be %d plugins, which the other way round a host of this library starts: "+
		"%d serve gRPC and work, %d are refused, each for its reason (%d only print a line, %d serve net/rpc).",
		len(modes.All), count[modes.Served], count[modes.Line]+count[modes.NetRPC], count[modes.Line], count[modes.NetRPC])
}

// TestLeftOut checks that each of go-plugin's tests is run or left out, and the
// reasons for that.
func TestLeftOut(t *testing.T) {
	for _, test := range theirTests(t) {
		isRun := slices.ContainsFunc(passing, func(j judged) bool { return j.test == test })
		reason, isLeft := leftOut[test]
		if isRun == isLeft {
			t.Errorf("%s must be in one list; run: %v, left out: %v", test, isRun, isLeft)
		}
		switch starts := source.starts[test]; reason {
		case netRPC:
			speaksGRPC := func(mode string) bool { return source.modes[mode] != modes.NetRPC }
			if len(starts) == 0 || slices.ContainsFunc(starts, speaksGRPC) || source.unclear[test] {
				t.Errorf("%s starts %q, which are not all of net/rpc", test, starts)
			}
		case alone:
			if len(starts) > 0 || source.unclear[test] {
				t.Errorf("%s starts plugins: %q", test, starts)
			}
		}
	}
	all := maps.Clone(leftOut)
	maps.Copy(all, leftOutPart)
	for _, test := range slices.Sorted(maps.Keys(all)) {
		printf("left out  %-35s %s\n", test, all[test])
	}
	printf("\n")
}

// TestJudged runs go-plugin's tests on the stand-in.
func TestJudged(t *testing.T) {
	existing := theirTests(t)
	served, line := 0, 0
	for _, j := range passing {
		t.Run(j.test, func(t *testing.T) {
			if !slices.Contains(existing, j.test) {
				t.Fatal("go-plugin has no such test")
			}
			before := leak.Now()
			heard := j.run(t)
			settled(t, before, j.killed)
			if t.Failed() {
				return
			}
			how := j.kind()
			if how == modes.Served {
				served++
			} else {
				line++
			}
			note := ""
			if !heard {
				note = ", though it waited too short to hear of the plugin"
			}
			printf("go-plugin's test → tenon plugin  %-55s %-18v  ok%s\n", j.name(), how, note)
		})
	}
	printf("%d of go-plugin's tests pass on a plugin of this library: %d through plugin.Serve over gRPC, %d on a printed line\n\n",
		served+line, served, line)
	if served+line == len(passing) { // all were asked for, and passed
		inReadme(t, "%d of the tests of go-plugin 1.8.0 pass so: %d through `plugin.Serve` over gRPC, %d on a line that is only printed.",
			served+line, served, line)
	}
}

// inReadme checks that the README says so.
func inReadme(t *testing.T, format string, args ...any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(b)), " ")
	if want := fmt.Sprintf(format, args...); !strings.Contains(text, want) {
		t.Errorf("the README does not say: %s", want)
	}
}

// name is the test's, with the part that is run.
func (j *judged) name() string {
	if j.only == "" {
		return j.test
	}
	return j.test + "/" + j.only
}

// kind is that of its modes.
func (j *judged) kind() modes.Kind {
	m, _ := modes.Find(j.modes[0])
	return m.Kind
}

// run runs the test until it has heard of the plugin, and reports whether it
// has.
func (j *judged) run(t *testing.T) (heard bool) {
	runs := 1
	if j.hasty {
		runs = hastyRuns
	}
	// What is left of a test that failed is not this one's.
	if _, err := modes.TakeRecord(oursDir); err != nil {
		t.Fatal(err)
	}
	for range runs {
		out := j.once(t)
		did, err := modes.TakeRecord(oursDir)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case *control:
			heard = len(did) == 0
		case slices.Equal(did, j.modes):
			heard = strings.Contains(out, j.says)
		case !j.hasty || len(did) > 0:
			t.Fatalf("the stand-in was %q, not %q; the test printed:\n%s", did, j.modes, out)
		}
		if heard || t.Failed() {
			return heard
		}
	}
	return false
}

// once runs the test, makes sure that it ran and passed, and returns what it
// printed.
func (j *judged) once(t *testing.T) string {
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	pattern := "^" + j.test + "$"
	if j.only != "" {
		pattern += "/^" + j.only + "$"
	}
	cmd := exec.CommandContext(ctx, theirs, "-test.v", "-test.run="+pattern)
	cmd.Args[0] = ours
	if *control {
		cmd.Args[0] = theirs
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v; the test printed:\n%s", err, out)
	}
	passed := regexp.MustCompile(`(?m)^ *--- PASS: ` + regexp.QuoteMeta(j.name()) + ` \(`)
	if !passed.Match(out) || bytes.Contains(out, []byte("--- FAIL")) || bytes.Contains(out, []byte("--- SKIP")) {
		t.Fatalf("the test did not pass, or did not run; it printed:\n%s", out)
	}
	return string(out)
}

func printf(format string, args ...any) {
	if *table {
		fmt.Printf(format, args...)
	}
}
