package errcode_test

import (
	"context"
	"fmt"
	"os/exec"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/errcode"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// A program that has texts of its own, or counts errors, goes by the code.
func ExampleOf() {
	_, err := host.Start(context.Background(), &host.Config{
		Handshake: kvshared.Handshake,
		Cmd:       exec.Command("./no-such-plugin"),
	})
	if code, ok := errcode.Of(err); ok {
		fmt.Println(code.Name)
		fmt.Println(code.Means)
		fmt.Println(code.Do)
	}
	// Output:
	// launch.missing
	// There is no such program, or its interpreter is missing.
	// Check the path in Config.Cmd, and a script's first line.
}
