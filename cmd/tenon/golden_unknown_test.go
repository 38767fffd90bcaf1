package main

// unknownGoldens have what the type checker knows nothing of: generics and types of
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
}
