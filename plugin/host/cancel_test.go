package host_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin/host"
)

// TestCancelledStarts gives up at moments that are spread over a whole start.
func TestCancelledStarts(t *testing.T) {
	for name, change := range map[string]func(*host.Config){
		"as usual":  func(*host.Config) {},
		"detached":  func(c *host.Config) { c.Detach = true },
		"Multiplex": func(c *host.Config) { c.Multiplex = true },
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			cfg := fakeConfig(t, "real")
			cfg.Logger = slog.New(slog.DiscardHandler)
			change(cfg)
			// How long it takes when nobody gives up.
			begun := time.Now()
			c := start(t, cfg)
			took := time.Since(begun)
			c.Kill()

			steps := repetitions(t, 70)
			var failed, started int
			for i := range steps {
				ctx, cancel := context.WithTimeout(t.Context(), took*time.Duration(i)/time.Duration(steps)*3/2)
				c, err := host.Start(ctx, cfg)
				cancel()
				var start *host.StartError
				switch {
				case err == nil:
					started++
					c.Kill()
				case errors.As(err, &start) && errors.Is(err, context.DeadlineExceeded):
					failed++
				default:
					t.Errorf("got %v", err)
				}
			}
			if failed == 0 {
				t.Error("no start was given up")
			}
			t.Logf("of %d starts %d were given up", steps, failed)
		})
	}
}
