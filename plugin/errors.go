package plugin

import (
	"errors"

	"github.com/tenonrpc/tenon/plugin/internal/broker"
)

var (
	// ErrCookie is returned by [ServeContext] when the magic cookie is missing from the
	// environment or has another value: the program was not started by its host. [Serve]
	// prints a text for people instead.
	ErrCookie = errors.New("plugin: the magic cookie is missing or wrong: this program was not started by its host")

	// ErrHostGone is returned by [ServeContext] when the host has ended without asking
	// the plugin to stop: it crashed, was killed, or closed the only connection of a
	// plugin that multiplexes. See ServeConfig.OutliveHost.
	ErrHostGone = errors.New("plugin: the host is gone")

	// ErrOneSided is returned by the half of a [Plugin] that [ServeOnly] or [ClientOnly]
	// leaves out.
	ErrOneSided = errors.New("plugin: this side of the plugin is not implemented")

	// ErrBrokerClosed is returned by the methods of a [Broker] once the connection to the
	// other side has been shut down.
	ErrBrokerClosed = broker.ErrClosed
)
