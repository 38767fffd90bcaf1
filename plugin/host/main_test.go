package host_test

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"testing"

	"github.com/tenonrpc/tenon/plugin"
)

// fakeEnv names the behaviour of the fake plugin that this test binary plays
// when it finds the variable set.
const fakeEnv = "TN_FAKE_PLUGIN"

var shake = plugin.Handshake{ProtocolVersion: 1, MagicCookieKey: "TN_COOKIE", MagicCookieValue: "crumbs"}

// alive is the stdin of all fake plugins. They end when it does, so that none
// outlives a test binary that crashed.
var alive *os.File

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	if name := os.Getenv(fakeEnv); name != "" {
		playPlugin(name)
		return
	}
	if name := os.Getenv(hostEnv); name != "" {
		playHost(name)
		return
	}
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	// Everything temporary goes below one directory with a short name, which
	// must be empty in the end. Paths of sockets have about 100 bytes.
	parent := os.TempDir()
	if len(parent) > 64 && runtime.GOOS != "windows" {
		parent = "/tmp"
	}
	tmp, err := os.MkdirTemp(parent, "tn")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(tmp)
	os.Setenv("TMPDIR", tmp)
	if runtime.GOOS == "windows" {
		os.Setenv("TMP", tmp)
		os.Setenv("TEMP", tmp)
	}
	var keep *os.File
	if alive, keep, err = os.Pipe(); err != nil {
		panic(err)
	}
	defer keep.Close()

	// The runtime keeps a goroutine for signals once one has been asked for.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	signal.Stop(signals)

	before := takeStock()
	code := m.Run()
	if diff := before.waitSame(); diff != "" && code == 0 {
		fmt.Fprintln(os.Stderr, "left over after all tests: "+diff)
		code = 1
	}
	return code
}
