package main

// unknownGoldens have what the type checker does not know: generics and types of
// packages that are not read, and variants of types for other systems.
var unknownGoldens = []golden{
	{
		name: "packages are known in what is unknown",
		before: `-- a.go --
package a

import (
	"sync"

	"example.org/lo"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc/codes"
)

var start = sync.OnceValue[*plugin.Client](nil)

type pool struct{ *lo.Pool[plugin.Client] }

var m = lo.Table{plugin.ProtocolGRPC: 1}

var texts = lo.Texts{codes.NotFound: "nothing"}

func f(plugin lo.Plugin) any { return lo.Table{plugin.Client: 1} }
`,
		after: `-- a.go --
package a

import (
	"sync"

	"example.org/lo"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

var start = sync.OnceValue[*host.Client](nil)

type pool struct{ *lo.Pool[host.Client] }

var m = lo.Table{plugin.ProtocolGRPC: 1}

var texts = lo.Texts{codes.NotFound: "nothing"}

func f(plugin lo.Plugin) any { return lo.Table{plugin.Client: 1} }
`,
		left: "a.go:16:25: plugin.ProtocolGRPC: gRPC is the only protocol: delete it\n",
	},
	{
		name: "an import that only a type argument needs stays or goes with it",
		before: `-- a.go --
package a

import (
	"example.org/lo"
	"github.com/hashicorp/go-plugin"
)

type pool struct{ *lo.Pool[plugin.Client] }

var all plugin.Client
-- b.go --
package a

import (
	"example.org/lo"
	"github.com/hashicorp/go-plugin"
)

type set struct{ *lo.Pool[plugin.PluginSet] }

var config *plugin.ClientConfig
`,
		after: `-- a.go --
package a

import (
	"example.org/lo"
	"github.com/tenonrpc/tenon/plugin/host"
)

type pool struct{ *lo.Pool[host.Client] }

var all host.Client
-- b.go --
package a

import (
	"example.org/lo"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

type set struct{ *lo.Pool[plugin.Set] }

var config *host.Config
`,
	},
	{
		name: "Kill of what is not known",
		before: `-- a.go --
package a

import (
	"slices"
	"sync/atomic"

	"example.org/lo"
	"github.com/hashicorp/go-plugin"
)

type killer interface{ Kill() }

type other interface {
	Kill(sig int)
	Close()
}

type failing interface{ Kill() error }

var current atomic.Pointer[plugin.Client]

func all(cs []*plugin.Client, k killer, o other, m mine, clean func(func())) {
	current.Load().Kill()
	for _, c := range slices.Backward(cs) {
		c.Kill()
		clean(c.Kill)
		c.Kill(9)
		_ = c.Kill()
	}
	k.Kill()
	o.Kill(9)
	m.Kill()
	lo.Kill()
	cs[0].Kill()
}

type mine struct{}

func (mine) Kill() {}
-- b_linux.go --
package a

import "github.com/hashicorp/go-plugin"

type holder struct{ c *plugin.Client }

func (h *holder) Stop() { h.c.Kill() }
-- b_windows.go --
package a

type holder struct{ client lo.Client }

func (h *holder) Stop() { h.client.Kill() }
-- c.go --
package c

func stop(c interface{ Kill() }, d lo.Client) { c.Kill(); d.Kill() }
`,
		after: `-- a.go --
package a

import (
	"slices"
	"sync/atomic"

	"example.org/lo"
	"github.com/tenonrpc/tenon/plugin/host"
)

type killer interface{ Kill() }

type other interface {
	Kill(sig int)
	Close()
}

type failing interface{ Kill() error }

var current atomic.Pointer[host.Client]

func all(cs []*host.Client, k killer, o other, m mine, clean func(func())) {
	current.Load().Kill()
	for _, c := range slices.Backward(cs) {
		c.Kill()
		clean(c.Kill)
		c.Kill(9)
		_ = c.Kill()
	}
	k.Kill()
	o.Kill(9)
	m.Kill()
	lo.Kill()
	cs[0].Close()
}

type mine struct{}

func (mine) Kill() {}
-- b_linux.go --
package a

import "github.com/tenonrpc/tenon/plugin/host"

type holder struct{ c *host.Client }

func (h *holder) Stop() { h.c.Close() }
-- b_windows.go --
package a

type holder struct{ client lo.Client }

func (h *holder) Stop() { h.client.Kill() }
-- c.go --
package c

func stop(c interface{ Kill() }, d lo.Client) { c.Kill(); d.Kill() }
`,
		left: `a.go:11:24: plugin.Client.Kill: if this is a plugin.Client: Close; Kill is SIGKILL at once
a.go:23:17: plugin.Client.Kill: if this is a plugin.Client: Close; Kill is SIGKILL at once
a.go:25:5: plugin.Client.Kill: if this is a plugin.Client: Close; Kill is SIGKILL at once
a.go:26:11: plugin.Client.Kill: if this is a plugin.Client: Close; Kill is SIGKILL at once
b_windows.go:5:36: plugin.Client.Kill: if this is a plugin.Client: Close; Kill is SIGKILL at once
`,
	},
}
