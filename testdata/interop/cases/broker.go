package cases

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tenonrpc/tenon/plugin/interop/cases/richpb"
)

// atOnce is how many brokered connections the cases have under way at once,
// in each direction.
const atOnce = 32

// together runs f that many times at once.
func together(f func(i int) error) error {
	errs := make([]error, atOnce)
	var wg sync.WaitGroup
	for i := range atOnce {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// hostServesOne has the plugin call back, and checks that it reached the right
// server.
func hostServesOne(ctx context.Context, h Host, text string) error {
	id, stop, err := h.ServeMirror(ctx)
	if err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	defer stop()
	note, err := h.CallBack(ctx, &richpb.CallBackRequest{BrokerId: id, Text: text})
	if err != nil {
		return fmt.Errorf("the plugin's call of %d: %w", id, err)
	}
	if want := fmt.Sprintf("host %d: %s", id, text); note.GetText() != want {
		return fmt.Errorf("the plugin got %q from the host, want %q", note.GetText(), want)
	}
	return nil
}

// pluginServesOne calls a server that the plugin offers.
func pluginServesOne(ctx context.Context, h Host, text string) error {
	id, err := h.Offer(ctx)
	if err != nil {
		return fmt.Errorf("offering: %w", err)
	}
	return dialOffered(ctx, h, id, text)
}

// dialOffered calls a server that the plugin has offered.
func dialOffered(ctx context.Context, h Host, id uint32, text string) error {
	mirror, stop, err := h.DialMirror(ctx, id)
	if err != nil {
		return fmt.Errorf("dialling %d: %w", id, err)
	}
	defer stop()
	note, err := mirror.Reflect(ctx, &richpb.Note{Text: text})
	if err != nil {
		return fmt.Errorf("calling %d: %w", id, err)
	}
	if want := fmt.Sprintf("plugin %d: %s", id, text); note.GetText() != want {
		return fmt.Errorf("the host got %q from the plugin, want %q", note.GetText(), want)
	}
	return nil
}

func brokerHostServes(ctx context.Context, h Host) error {
	for i := range 3 {
		if err := hostServesOne(ctx, h, fmt.Sprint("text ", i)); err != nil {
			return err
		}
	}
	return nil
}

func brokerPluginServes(ctx context.Context, h Host) error {
	for i := range 3 {
		if err := pluginServesOne(ctx, h, fmt.Sprint("text ", i)); err != nil {
			return err
		}
	}
	return nil
}

func brokerHostServesMany(ctx context.Context, h Host) error {
	return together(func(i int) error { return hostServesOne(ctx, h, fmt.Sprint("text ", i)) })
}

func brokerPluginServesMany(ctx context.Context, h Host) error {
	return together(func(i int) error { return pluginServesOne(ctx, h, fmt.Sprint("text ", i)) })
}

func brokerBothServeMany(ctx context.Context, h Host) error {
	return together(func(i int) error {
		text := fmt.Sprint("text ", i)
		if i%2 == 0 {
			return hostServesOne(ctx, h, text)
		}
		return pluginServesOne(ctx, h, text)
	})
}

// brokerPluginServesAgain dials one id several times, which non-multiplexed
// connections cannot.
func brokerPluginServesAgain(ctx context.Context, h Host) error {
	id, err := h.Offer(ctx)
	if err != nil {
		return fmt.Errorf("offering: %w", err)
	}
	for i := range 3 {
		if err := dialOffered(ctx, h, id, fmt.Sprint("text ", i)); err != nil {
			return err
		}
	}
	return nil
}

func brokerPluginServesOneMany(ctx context.Context, h Host) error {
	id, err := h.Offer(ctx)
	if err != nil {
		return fmt.Errorf("offering: %w", err)
	}
	return together(func(i int) error { return dialOffered(ctx, h, id, fmt.Sprint("text ", i)) })
}
