package main

// configGoldens have configurations that are made in other ways than by a literal of
// their type.
var configGoldens = []golden{
	{
		name: "configurations by other names",
		before: `-- a.go --
package a

import "github.com/hashicorp/go-plugin"

type Config = plugin.ClientConfig

type Pointer = *Config

type Serve = plugin.ServeConfig

var (
	a = Config{AutoMTLS: false}
	b = &Config{SkipHostEnv: true, AutoMTLS: true}
	c = []Pointer{{AutoMTLS: true}}
	d Config
	e = new(Config)
	f = Serve{}
	g Serve
	h Pointer
)

type defined plugin.ClientConfig

var i = defined{MinPort: 1}
`,
		after: `-- a.go --
package a

import "github.com/tenonrpc/tenon/plugin"
import "github.com/tenonrpc/tenon/h2grpc/reflection"
import "github.com/tenonrpc/tenon/plugin/host"

type Config = host.Config

type Pointer = *Config

type Serve = plugin.ServeConfig

var (
	a = Config{InheritEnv: true, InsecurePlaintext: true}
	b = &Config{}
	c = []Pointer{{InheritEnv: true}}
	d Config
	e = new(Config)
	f = Serve{Reflection: reflection.Register}
	g Serve
	h Pointer
)

type defined host.Config

var i = defined{MinPort: 1}
`,
		left: `a.go:17:4: plugin.ClientConfig: set InheritEnv, if the plugin is to have the host's environment, as go-plugin's do without SkipHostEnv
a.go:18:10: plugin.ClientConfig: set InheritEnv, if the plugin is to have the host's environment, as go-plugin's do without SkipHostEnv
a.go:20:4: plugin.ServeConfig: set Reflection to reflection.Register of h2grpc/reflection, if the plugin is to have gRPC reflection, as go-plugin's do
a.go:24:14: plugin.ClientConfig: set InheritEnv, if the plugin is to have the host's environment, as go-plugin's do without SkipHostEnv
a.go:26:17: plugin.ClientConfig.MinPort: Sockets.MinPort, an int
`,
	},
	{
		name: "configurations that are part of something",
		before: `-- a.go --
package a

import "github.com/hashicorp/go-plugin"

type holder struct {
	config  plugin.ClientConfig
	pointer *plugin.ClientConfig
	many    []plugin.ClientConfig
}

type base struct {
	plugin.ServeConfig
}

var two [2]plugin.ClientConfig

var listed = [...]plugin.ClientConfig{{AutoMTLS: true}}

func lists(n int) (config plugin.ClientConfig, err error) {
	_ = make([]plugin.ClientConfig, n)
	_ = make([]plugin.ClientConfig, 0, n)
	_ = make([]*plugin.ClientConfig, n)
	_ = make(map[string]plugin.ClientConfig)
	return
}

func params(config plugin.ClientConfig) plugin.ClientConfig { return config }
`,
		after: `-- a.go --
package a

import "github.com/tenonrpc/tenon/plugin"
import "github.com/tenonrpc/tenon/plugin/host"

type holder struct {
	config  host.Config
	pointer *host.Config
	many    []host.Config
}

type base struct {
	plugin.ServeConfig
}

var two [2]host.Config

var listed = [...]host.Config{{InheritEnv: true}}

func lists(n int) (config host.Config, err error) {
	_ = make([]host.Config, n)
	_ = make([]host.Config, 0, n)
	_ = make([]*host.Config, n)
	_ = make(map[string]host.Config)
	return
}

func params(config host.Config) host.Config { return config }
`,
		left: `a.go:7:10: plugin.ClientConfig: set InheritEnv, if the plugin is to have the host's environment, as go-plugin's do without SkipHostEnv
a.go:13:2: plugin.ServeConfig: set Reflection to reflection.Register of h2grpc/reflection, if the plugin is to have gRPC reflection, as go-plugin's do
a.go:16:12: plugin.ClientConfig: set InheritEnv, if the plugin is to have the host's environment, as go-plugin's do without SkipHostEnv
a.go:20:27: plugin.ClientConfig: set InheritEnv, if the plugin is to have the host's environment, as go-plugin's do without SkipHostEnv
a.go:21:11: plugin.ClientConfig: set InheritEnv, if the plugin is to have the host's environment, as go-plugin's do without SkipHostEnv
`,
	},
	{
		name: "a file that needs packages and has imported none of the old ones",
		before: `-- a.go --
package a

import "github.com/hashicorp/go-plugin"

type Config = plugin.ClientConfig

type Serve = plugin.ServeConfig
-- b.go --
// Package a has configurations.
package a // in two files

// served is one.
var served = Serve{}
-- c.go --
package a

import (
	// For the streams.
	"os"

	"example.org/lo"
)

var config = Config{SkipHostEnv: true, AutoMTLS: true, SyncStdout: os.Stdout}

var served2 = Serve{Logger: lo.New()}
-- d.go --
package a

import "example.org/lo"

var served3 = Serve{Logger: lo.New()}
`,
		after: `-- a.go --
package a

import "github.com/tenonrpc/tenon/plugin"
import "github.com/tenonrpc/tenon/plugin/host"

type Config = host.Config

type Serve = plugin.ServeConfig
-- b.go --
// Package a has configurations.
package a // in two files

import "github.com/tenonrpc/tenon/h2grpc/reflection"

// served is one.
var served = Serve{Reflection: reflection.Register}
-- c.go --
package a

import (
	// For the streams.
	"os"

	"example.org/lo"
	"github.com/tenonrpc/tenon/h2grpc/reflection"
	"github.com/tenonrpc/tenon/plugin/host"
)

var config = Config{Output: host.Output{Stdout: os.Stdout}}

var served2 = Serve{Reflection: reflection.Register, Logger: lo.New()}
-- d.go --
package a

import "example.org/lo"
import "github.com/tenonrpc/tenon/h2grpc/reflection"

var served3 = Serve{Reflection: reflection.Register, Logger: lo.New()}
`,
	},
}
