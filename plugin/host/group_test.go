package host_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/fleet"
)

func TestGroup(t *testing.T) {
	noLeaks(t)
	var g fleet.Group
	defer g.Close()
	configs := map[string]*host.Config{}
	for i := range 6 {
		configs[fmt.Sprint("plugin ", i)] = fakeConfig(t, "good")
	}
	if err := g.StartAll(t.Context(), configs); err != nil {
		t.Fatal(err)
	}
	if names := g.Names(); len(names) != 6 || !slices.IsSorted(names) {
		t.Errorf("the names are %q", names)
	}
	for _, name := range g.Names() {
		if got, err := do(t.Context(), g.Client(name), "echo "+name); err != nil || got != name {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := g.Start(t.Context(), "plugin 3", fakeConfig(t, "good")); !errors.Is(err, fleet.ErrNameTaken) {
		t.Errorf("a second plugin of a name: %v", err)
	}
	if c := g.Client("plugin 7"); c != nil {
		t.Errorf("there is %v", c)
	}
	// A name is free when its plugin has ended.
	old := g.Client("plugin 3")
	old.Kill()
	if slices.Contains(g.Names(), "plugin 3") {
		t.Error("a plugin that has ended runs")
	}
	if c, err := g.Start(t.Context(), "plugin 3", fakeConfig(t, "good")); err != nil || c == old || g.Client("plugin 3") != c {
		t.Errorf("got %v, %v", c, err)
	}
	if err := g.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	for name := range configs {
		select {
		case <-g.Client(name).Done():
		default:
			t.Errorf("%s has not ended", name)
		}
	}
	if names := g.Names(); len(names) != 0 {
		t.Errorf("%q run after Close", names)
	}
	if _, err := g.Start(t.Context(), "another", fakeConfig(t, "good")); !errors.Is(err, fleet.ErrGroupClosed) {
		t.Errorf("a start after Close: %v", err)
	}
}

func TestGroupStartsAllOrNone(t *testing.T) {
	noLeaks(t)
	var g fleet.Group
	err := g.StartAll(t.Context(), map[string]*host.Config{
		"good": fakeConfig(t, "good"), "better": fakeConfig(t, "good"),
		"broken": fakeConfig(t, "exits-at-once"), "slow": fakeConfig(t, "silent"),
	})
	var start *host.StartError
	if !errors.As(err, &start) || !strings.Contains(err.Error(), `plugin "broken": `) || strings.Contains(err.Error(), `"slow"`) {
		t.Errorf("got %v", err)
	}
	if names := g.Names(); len(names) != 0 {
		t.Errorf("%q run", names)
	}
	if err := g.StartAll(t.Context(), map[string]*host.Config{"good": fakeConfig(t, "good")}); err != nil {
		t.Errorf("starting again: %v", err)
	}
	g.Kill()
}

func TestGroupEndsInManyWays(t *testing.T) {
	noLeaks(t)
	for name, end := range map[string]func(*fleet.Group) error{
		"Close":    (*fleet.Group).Close,
		"Kill":     func(g *fleet.Group) error { g.Kill(); return nil },
		"Shutdown": func(g *fleet.Group) error { return g.Shutdown(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			var g fleet.Group
			cfg := fakeConfig(t, "deaf")
			cfg.StopTimeout = short
			if _, err := g.Start(t.Context(), "deaf", cfg); err != nil {
				t.Fatal(err)
			}
			if _, err := g.Start(t.Context(), "good", fakeConfig(t, "good")); err != nil {
				t.Fatal(err)
			}
			// One that is being started for as long as it takes.
			failed := make(chan error)
			go func() {
				_, err := g.Start(t.Context(), "slow", fakeConfig(t, "silent"))
				failed <- err
			}()
			err := end(&g)
			if name != "Kill" && (!errors.Is(err, host.ErrKilled) || strings.Contains(err.Error(), `"good"`)) {
				t.Errorf("got %v", err)
			}
			if err := <-failed; !errors.Is(err, fleet.ErrGroupClosed) {
				t.Errorf("the start in progress: %v", err)
			}
			if err := end(&g); name != "Kill" && !errors.Is(err, host.ErrKilled) {
				t.Errorf("the second time: %v", err)
			}
		})
	}
}

func TestGroupUnderManyHands(t *testing.T) {
	noLeaks(t)
	var g fleet.Group
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 4 {
		name := fmt.Sprint("plugin ", i%2)
		all.Go(func() { g.Start(ctx, name, fakeConfig(t, "good")) })
		all.Go(func() { g.Names(); g.Client(name) })
	}
	all.Go(cancel)
	all.Go(func() { g.Close() })
	all.Go(g.Kill)
	all.Wait()
	g.Close()
}
