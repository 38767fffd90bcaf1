// This file has the plugins of the host. You learn here how they are found, started
// together, used, started again when they have crashed, and ended. Read next: archive.go.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/fleet"

	"example.com/newsdesk/desk"
	"example.com/newsdesk/newsdeskv1"
)

// A newsroom has the plugins, of both kinds. One goroutine at a time uses it.
type newsroom struct {
	log     *slog.Logger
	archive archive
	nothing *os.File // what plugins read on their standard input

	group   fleet.Group
	configs map[string]*host.Config // of all plugins, by name
	filters []string                // their names, sorted
	sinks   []string
}

// open finds all plugins and starts them, or none.
func open(ctx context.Context, o options, archive archive, log *slog.Logger) (_ *newsroom, err error) {
	r := &newsroom{log: log, archive: archive, configs: make(map[string]*host.Config)}
	// A plugin's standard input is otherwise the host's, which the names come from.
	if r.nothing, err = os.Open(os.DevNull); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	r.filters, err = r.find(o.plugins, desk.FilterPrograms, host.Config{
		Handshake: desk.FilterHandshake,
		Versions:  map[int]plugin.Set{1: desk.FilterV1(nil), 2: desk.FilterV2(nil)}, // the highest is used that the plugin has
	})
	if err != nil {
		return nil, err
	}
	r.sinks, err = r.find(o.plugins, desk.SinkPrograms, host.Config{
		Handshake: desk.SinkHandshake,
		Versions:  map[int]plugin.Set{1: desk.SinkV1(nil)},
		Env:       []string{desk.OutVariable + "=" + o.out},
	})
	if err != nil {
		return nil, err
	}
	return r, r.start(ctx)
}

// find adds the programs in dir whose names are like pattern to the configurations, and
// returns their names. config is what they have in common.
func (r *newsroom) find(dir, pattern string, config host.Config) (names []string, err error) {
	config.Logger = r.log                                             // gets what a plugin logs, with its name
	config.Output = host.Output{Stdout: os.Stderr, Stderr: os.Stderr} // gets what it prints otherwise
	paths, err := fleet.Discover(dir, pattern)
	for _, path := range paths {
		own := config
		own.Cmd = exec.Command(path)
		own.Cmd.Stdin = r.nothing
		name := strings.TrimSuffix(filepath.Base(path), ".exe")
		names = append(names, name)
		r.configs[name] = &own
	}
	return names, err
}

// start starts the plugins that do not run: at first all, at once, and later those that
// have ended by themselves.
func (r *newsroom) start(ctx context.Context) error {
	needed := make(map[string]*host.Config)
	for name, config := range r.configs {
		if client := r.group.Client(name); client != nil {
			if client.Err() == nil {
				continue
			}
			<-client.Done() // the name is free then
		}
		needed[name] = config
	}
	if err := r.group.StartAll(ctx, needed); err != nil {
		return err
	}
	for name := range needed {
		r.log.Info("started", "plugin", name, "version", r.group.Client(name).Version())
	}
	return nil
}

// close ends all plugins, within a bounded time.
func (r *newsroom) close() error { return errors.Join(r.group.Close(), r.nothing.Close()) }

// edit has a story edited by all filters. It goes on without a filter that crashes.
func (r *newsroom) edit(ctx context.Context, story *newsdeskv1.Story) (*newsdeskv1.Story, error) {
	for _, name := range r.filters {
		filter, err := host.Dispense[desk.Filter](ctx, r.group.Client(name), desk.FilterName)
		if err != nil {
			return nil, err
		}
		edited, err := filter.Edit(ctx, story, r.archive)
		var ended *host.ExitError
		switch {
		case errors.As(err, &ended), errors.Is(err, plugin.ErrBrokerClosed):
			// The plugin has ended by itself: its call says so, or the broker, if the archive
			// could not be served any more. What it wrote last is in the log already.
			r.log.Warn("not edited", "story", story.Slug, "plugin", name, "error", err)
		case err != nil:
			return nil, fmt.Errorf("%s: %w", name, err)
		case edited == nil:
			return nil, fmt.Errorf("%s: it has returned no story", name)
		default:
			edited.Slug = story.Slug // the host's, and no plugin's to choose
			story = edited
		}
	}
	return story, nil
}

// publish has a story published by all sinks, and tells of each place.
func (r *newsroom) publish(ctx context.Context, story *newsdeskv1.Story, tell func(place string)) error {
	for _, name := range r.sinks {
		sink, err := host.Dispense[newsdeskv1.SinkClient](ctx, r.group.Client(name), desk.SinkName)
		if err != nil {
			return err
		}
		stream, err := sink.Publish(ctx, &newsdeskv1.PublishRequest{Story: story})
		for err == nil {
			var out *newsdeskv1.PublishResponse
			if out, err = stream.Recv(); err == nil {
				tell(out.Place)
			}
		}
		if err != io.EOF {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
