package plugintest_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/plugintest"
)

// A test function has this as its parameter.
var t *testing.T

// TestExamples runs the examples that need nothing but a test.
func TestExamples(test *testing.T) {
	for name, example := range map[string]func(){"Dispense": ExampleDispense, "New": ExampleNew, "Start": ExampleStart} {
		test.Run(name, func(test *testing.T) {
			t = test
			example()
		})
	}
}

// An application's client for a plugin of which only the code exists, without a program.
func ExampleDispense() {
	set := plugin.Set{"echo": echo{"1 "}}

	c := plugintest.Dispense[*client](t, set, "echo")
	if got, err := c.call(t.Context(), "Echo", "hello"); err != nil || got != "1 hello" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A host whose plugin is gone.
func ExampleNew() {
	c := plugintest.New(t, plugin.Set{"echo": echo{}})
	c.Kill()
	if err := c.Ping(t.Context()); err == nil {
		t.Error("the plugin answers after its end")
	}
}

// A pair with the security of production, whose plugin has a limit.
func ExampleStart() {
	serve := plugin.ServeConfig{Plugins: plugin.Set{"echo": echo{}}}
	serve.Server.MaxRecvMessageSize = 1 << 10

	c := plugintest.Start(t, &plugintest.Config{Plugin: serve, Host: host.Config{Curve: host.P256}})
	if _, err := called(t.Context(), c.Conn(), "/test.Echo/Echo", string(make([]byte, 2<<10))); err == nil {
		t.Error("the plugin takes more than its limit")
	}
}

// An acceptance test: Terraform runs with a provider in the test's own process, where a
// debugger can inspect it.
func ExampleServe() {
	record := plugintest.Serve(t, &plugin.ServeConfig{
		Handshake: plugin.Handshake{ProtocolVersion: 5, MagicCookieKey: "TF_PLUGIN_MAGIC_COOKIE", MagicCookieValue: "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"},
		Plugins:   plugin.Set{"provider": echo{}},
	})
	value, err := host.FormatProviders(map[string]*host.Reattach{"registry.terraform.io/acme/echo": record})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "terraform", "apply", "-auto-approve")
	cmd.Env = append(os.Environ(), "TF_REATTACH_PROVIDERS="+value)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
