package main

import "strings"

// importGoldens have imports that are added where others have a meaning of their own,
// and other line ends.
var importGoldens = []golden{
	{
		name: "the comment before cgo's import stays there",
		before: `-- a.go --
package a

/*
#include <stdlib.h>
*/
import "C"

// What starts plugins.
import "github.com/hashicorp/go-plugin"

func start() error {
	client := plugin.NewClient(nil)
	p, err := client.Client()
	if err != nil {
		return err
	}
	return p.Ping()
}
-- b.go --
package a

// #include <stdlib.h>
import "C"

import (
	"os"

	"github.com/hashicorp/go-plugin"
)

func again() error {
	client := plugin.NewClient(nil)
	p, err := client.Client()
	if err != nil {
		os.Exit(1)
	}
	return p.Ping()
}
-- c.go --
package a

// #include <stdlib.h>
import "C"

var served = Serve{}
-- d.go --
package a

import "github.com/hashicorp/go-plugin"

type Serve = plugin.ServeConfig
`,
		after: `-- a.go --
package a

/*
#include <stdlib.h>
*/
import "C"

import "context"

// What starts plugins.
import "github.com/tenonrpc/tenon/plugin/host"

func start() error {
	client, err := host.Start(context.Background(), nil)
	if err != nil {
		return err
	}
	return client.Ping(context.Background())
}
-- b.go --
package a

// #include <stdlib.h>
import "C"

import (
	"context"
	"os"

	"github.com/tenonrpc/tenon/plugin/host"
)

func again() error {
	client, err := host.Start(context.Background(), nil)
	if err != nil {
		os.Exit(1)
	}
	return client.Ping(context.Background())
}
-- c.go --
package a

// #include <stdlib.h>
import "C"

import "github.com/tenonrpc/tenon/h2grpc/reflection"

var served = Serve{Reflection: reflection.Register}
-- d.go --
package a

import "github.com/tenonrpc/tenon/plugin"

type Serve = plugin.ServeConfig
`,
	},
	{
		name: "lines that end in CR LF stay so, and so do the others",
		before: crlf(`-- a.go --
package a

import (
	"github.com/hashicorp/go-plugin"
)

const text = ` + "`" + `a
b` + "`" + `

var config = &plugin.ServeConfig{
	Plugins: nil,
}

func start(name string) error {
	client := plugin.NewClient(nil)
	p, err := client.Client()
	if err != nil {
		println(err)
		return err
	}
	return p.Ping()
}
-- b.go --
package a

import "github.com/hashicorp/go-plugin"

func start(name string) error {
	client := plugin.NewClient(nil)
	p, err := client.Client()
	if err != nil {
		return err
	}
	return p.Ping()
}
-- c.go --
package a

import "github.com/hashicorp/go-plugin"

var c = &plugin.ServeConfig{
	Plugins: nil,
}

const lines = ` + "`" + `CR
` + "`" + `
`),
		after: crlf(`-- a.go --
package a

import (
	"context"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/h2grpc/reflection"
	"github.com/tenonrpc/tenon/plugin/host"
)

const text = ` + "`" + `a
b` + "`" + `

var config = &plugin.ServeConfig{
	Plugins: nil,
	Reflection: reflection.Register,
}

func start(name string) error {
	client, err := host.Start(context.Background(), nil)
	if err != nil {
		println(err)
		return err
	}
	return client.Ping(context.Background())
}
-- b.go --
package a

import "context"

import "github.com/tenonrpc/tenon/plugin/host"

func start(name string) error {
	client, err := host.Start(context.Background(), nil)
	if err != nil {
		return err
	}
	return client.Ping(context.Background())
}
-- c.go --
package a

import "github.com/tenonrpc/tenon/plugin"
import "github.com/tenonrpc/tenon/h2grpc/reflection"

var c = &plugin.ServeConfig{
	Plugins: nil,
	Reflection: reflection.Register,
}

const lines = ` + "`" + `CR
` + "`" + `
`),
	},
}

// crlf makes the lines of the files in a text end with CR LF, but in c.go only the line
// that ends in CR.
func crlf(text string) string {
	var out strings.Builder
	name := ""
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "-- ") {
			name = line
		} else if name != "-- c.go --\n" || strings.HasSuffix(line, "CR\n") {
			line = strings.TrimSuffix(line, "\n") + "\r\n"
		}
		out.WriteString(line)
	}
	return out.String()
}
