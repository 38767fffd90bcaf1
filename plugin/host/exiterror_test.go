package host_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host"
)

func TestTextsAboutAPluginThatEnded(t *testing.T) {
	noLeaks(t)
	cfg := fakeConfig(t, "good")
	path := cfg.Cmd.Path
	c := start(t, cfg)
	_, callErr := do(t.Context(), c, "crash")
	<-c.Done()
	var exit *host.ExitError
	if !errors.As(c.Err(), &exit) {
		t.Fatalf("got %v", c.Err())
	}
	text := c.Err().Error() + "\n\n" + lastPart(callErr.Error()) + "\n"
	text = strings.ReplaceAll(text, strconv.Quote(path), `"PLUGIN"`)
	text = strings.ReplaceAll(text, fmt.Sprintf("(pid %d)", exit.PID), "(pid PID)")
	golden(t, "exiterror.golden", text)
}

// lastPart removes how the connection ended, which differs.
func lastPart(text string) string { return text[strings.LastIndexByte(text, '('):] }

func TestExitStatusTexts(t *testing.T) {
	for want, status := range map[string]host.ExitStatus{
		"not ended":      {},
		"exit status 0":  {Ended: true},
		"signal: killed": {Ended: true, Code: -1, Signal: "killed"},
	} {
		if got := status.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
