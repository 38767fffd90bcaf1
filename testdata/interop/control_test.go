package interop_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/upstream"
)

// control is the first argument of this test binary when it is to be the
// control: the plugin and the name of the mode follow.
const control = "control"

const (
	// controlTries is how often the control may fail before it counts: a wrong
	// case fails every time, and go-plugin's own races do not.
	controlTries = 3
	// controlTimeout bounds a try, since go-plugin's Kill may wait for ever.
	controlTimeout = 2 * time.Minute
)

// TestControl runs the cases with go-plugin at both ends: what it does not pass
// with itself is a mistake of the case. It runs in a process of its own, so that
// what go-plugin leaves behind, or a crash, is not held against this library.
func TestControl(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range upstream.Modes {
		t.Run(mode.String(), func(t *testing.T) {
			for try := range controlTries {
				out, err := exec.CommandContext(t.Context(), self, control, program(upstreamPlugin), mode.String()).CombinedOutput()
				if err == nil {
					return
				}
				t.Logf("try %d: %v\n%s", try+1, err, out)
			}
			t.Error("go-plugin does not pass the cases with itself")
		})
	}
}

// runControl is the control, if that is what the arguments ask for.
func runControl(args []string) (code int, ran bool) {
	if len(args) != 3 || args[0] != control {
		return 0, false
	}
	for _, mode := range upstream.Modes {
		if mode.String() != args[2] {
			continue
		}
		log := new(cases.Output)
		if err := tryControl(mode, log, args[1]); err != nil {
			fmt.Fprintf(os.Stderr, "%v\nthe host's and the plugin's log:\n%s", err, log)
			return 1, true
		}
		return 0, true
	}
	fmt.Fprintf(os.Stderr, "there is no mode %q\n", args[2])
	return 1, true
}

func tryControl(mode cases.Mode, log *cases.Output, program string) error {
	ctx, cancel := context.WithTimeout(context.Background(), controlTimeout)
	defer cancel()
	h, err := upstream.StartIn(mode, log, program)
	if err != nil {
		return fmt.Errorf("starting the plugin: %w", err)
	}
	done := make(chan error, 1)
	go func() {
		defer h.Stop(ctx)
		for _, c := range cases.All() {
			// Multiplexed, go-plugin's brokered connections to itself reach each
			// other's servers at times, or end the plugin.
			if c.Multiplexed || c.Brokered() && mode.Multiplex {
				continue
			}
			if err := c.Try(ctx, h); err != nil {
				done <- fmt.Errorf("%s: %w", c.Name, err)
				return
			}
		}
		done <- nil
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = errors.New("no answer")
	}
	if err != nil {
		h.Abandon()
	}
	return err
}
