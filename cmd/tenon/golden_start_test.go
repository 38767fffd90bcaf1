package main

// startGoldens are starts that are not changed, because host.Start would not mean the
// same.
var startGoldens = []golden{
	{
		name: "starts whose client becomes another stay",
		before: `-- a.go --
package a

import "github.com/hashicorp/go-plugin"

func set(config *plugin.ClientConfig, other *plugin.Client) {
	client := plugin.NewClient(config)
	p, err := client.Client()
	if err != nil {
		return
	}
	if other != nil {
		(client) = other
	}
	p.Ping()
}

func ranged(config *plugin.ClientConfig, others []*plugin.Client) {
	client := plugin.NewClient(config)
	p, err := client.Client()
	if err != nil {
		return
	}
	for _, client = range others {
		p.Ping()
	}
}

func addressed(config *plugin.ClientConfig, change func(**plugin.Client)) {
	client := plugin.NewClient(config)
	p, err := client.Client()
	if err != nil {
		return
	}
	change(&client)
	p.Ping()
}

func kept(config *plugin.ClientConfig, keep func(*plugin.Client)) {
	client := plugin.NewClient(config)
	p, err := client.Client()
	if err != nil {
		return
	}
	keep(client)
	p.Close()
}
`,
		after: `-- a.go --
package a

import "context"

import "github.com/tenonrpc/tenon/plugin"
import "github.com/tenonrpc/tenon/plugin/host"

func set(config *host.Config, other *host.Client) {
	client := plugin.NewClient(config)
	p, err := client.Client()
	if err != nil {
		return
	}
	if other != nil {
		(client) = other
	}
	p.Ping()
}

func ranged(config *host.Config, others []*host.Client) {
	client := plugin.NewClient(config)
	p, err := client.Client()
	if err != nil {
		return
	}
	for _, client = range others {
		p.Ping()
	}
}

func addressed(config *host.Config, change func(**host.Client)) {
	client := plugin.NewClient(config)
	p, err := client.Client()
	if err != nil {
		return
	}
	change(&client)
	p.Ping()
}

func kept(config *host.Config, keep func(*host.Client)) {
	client, err := host.Start(context.Background(), config)
	if err != nil {
		return
	}
	keep(client)
	client.Close()
}
`,
		left: `a.go:9:19: plugin.NewClient: host.Start starts the plugin and connects to it: Start(ctx, *host.Config) (*host.Client, error)
a.go:10:19: plugin.Client.Client: the *host.Client of host.Start is connected: host.Dispense[T](ctx, client, name), client.Ping(ctx) or client.Conn()
a.go:17:4: plugin.ClientProtocol.Ping: Ping(ctx) of *host.Client
a.go:21:19: plugin.NewClient: host.Start starts the plugin and connects to it: Start(ctx, *host.Config) (*host.Client, error)
a.go:22:19: plugin.Client.Client: the *host.Client of host.Start is connected: host.Dispense[T](ctx, client, name), client.Ping(ctx) or client.Conn()
a.go:27:5: plugin.ClientProtocol.Ping: Ping(ctx) of *host.Client
a.go:32:19: plugin.NewClient: host.Start starts the plugin and connects to it: Start(ctx, *host.Config) (*host.Client, error)
a.go:33:19: plugin.Client.Client: the *host.Client of host.Start is connected: host.Dispense[T](ctx, client, name), client.Ping(ctx) or client.Conn()
a.go:38:4: plugin.ClientProtocol.Ping: Ping(ctx) of *host.Client
`,
	},
	{
		name: "starts that the package context is hidden from stay, and a context that is hidden is not used",
		before: `-- a.go --
package a

import (
	"context"

	"github.com/hashicorp/go-plugin"
)

type request struct{}

func named(context string, config *plugin.ClientConfig) error {
	client := plugin.NewClient(config)
	p, err := client.Client()
	if err != nil {
		return err
	}
	return p.Ping()
}

func later(config *plugin.ClientConfig) error {
	client := plugin.NewClient(config)
	p, err := client.Client()
	if err != nil {
		return err
	}
	context := "a plugin"
	println(context)
	return p.Ping()
}

func inner(ctx context.Context, config *plugin.ClientConfig) {
	func(ctx request) {
		client := plugin.NewClient(config)
		p, err := client.Client()
		if err != nil {
			return
		}
		p.Ping()
	}(request{})
	if ctx, span := trace(ctx); span != nil {
		client := plugin.NewClient(config)
		p, err := client.Client()
		if err != nil {
			return
		}
		p.Ping()
	}
	for _, ctx := range requests {
		var ctx = ctx.Context()
		client := plugin.NewClient(config)
		p, err := client.Client()
		if err != nil {
			return
		}
		p.Ping()
	}
	for _, ctx := range requests {
		client := plugin.NewClient(config)
		p, err := client.Client()
		if err != nil {
			return
		}
		p.Ping()
	}
}
`,
		after: `-- a.go --
package a

import (
	"context"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

type request struct{}

func named(context string, config *host.Config) error {
	client := plugin.NewClient(config)
	p, err := client.Client()
	if err != nil {
		return err
	}
	return p.Ping()
}

func later(config *host.Config) error {
	client := plugin.NewClient(config)
	p, err := client.Client()
	if err != nil {
		return err
	}
	context := "a plugin"
	println(context)
	return p.Ping()
}

func inner(ctx context.Context, config *host.Config) {
	func(ctx request) {
		client, err := host.Start(context.Background(), config)
		if err != nil {
			return
		}
		client.Ping(context.Background())
	}(request{})
	if ctx, span := trace(ctx); span != nil {
		client, err := host.Start(ctx, config)
		if err != nil {
			return
		}
		client.Ping(ctx)
	}
	for _, ctx := range requests {
		var ctx = ctx.Context()
		client, err := host.Start(ctx, config)
		if err != nil {
			return
		}
		client.Ping(ctx)
	}
	for _, ctx := range requests {
		client, err := host.Start(context.Background(), config)
		if err != nil {
			return
		}
		client.Ping(context.Background())
	}
}
`,
		left: `a.go:13:19: plugin.NewClient: host.Start starts the plugin and connects to it: Start(ctx, *host.Config) (*host.Client, error)
a.go:14:19: plugin.Client.Client: the *host.Client of host.Start is connected: host.Dispense[T](ctx, client, name), client.Ping(ctx) or client.Conn()
a.go:18:11: plugin.ClientProtocol.Ping: Ping(ctx) of *host.Client
a.go:22:19: plugin.NewClient: host.Start starts the plugin and connects to it: Start(ctx, *host.Config) (*host.Client, error)
a.go:23:19: plugin.Client.Client: the *host.Client of host.Start is connected: host.Dispense[T](ctx, client, name), client.Ping(ctx) or client.Conn()
a.go:29:11: plugin.ClientProtocol.Ping: Ping(ctx) of *host.Client
`,
	},
	{
		name: "starts that the package host is hidden from stay",
		before: `-- a.go --
package a

import (
	"github.com/hashicorp/go-plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

var _ host.Config

func named(host string) error {
	client := plugin.NewClient(nil)
	p, err := client.Client()
	if err != nil {
		return err
	}
	return p.Close()
}
`,
		after: `-- a.go --
package a

import (
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

var _ host.Config

func named(host string) error {
	client := plugin.NewClient(nil)
	p, err := client.Client()
	if err != nil {
		return err
	}
	return p.Close()
}
`,
		left: `a.go:11:19: plugin.NewClient: host.Start starts the plugin and connects to it: Start(ctx, *host.Config) (*host.Client, error)
a.go:12:19: plugin.Client.Client: the *host.Client of host.Start is connected: host.Dispense[T](ctx, client, name), client.Ping(ctx) or client.Conn()
a.go:16:11: plugin.ClientProtocol.Close: Close of *host.Client
`,
	},
}
