package check_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/cmd/internal/check"
)

// goMod is a go.mod that obeys the rules.
const goMod = "module m\n\ngo 1.26.0\n\nrequire (\n\tgolang.org/x/net v0.1.0\n\tgoogle.golang.org/protobuf v1.0.0\n)\n\nrequire golang.org/x/text v0.1.0 // indirect\n"

// An example is a small repository, and what the rule of the same name finds in it.
// Each file's name is followed by its lines; "want" at the end of a line marks a
// finding. Files without any must pass the rule.
type example map[string]string

// examples has files for each rule: every rule must fail, and must not fail for what
// only resembles a violation.
var examples = map[string]example{
	"order of dependencies": {
		"wire/a.go":               "package wire\nimport _ \"" + check.Module + "/h2grpc\" // want",
		"plugin/a.go":             "package plugin\nimport _ \"" + check.Module + "/plugin/host\" // want\nimport _ \"" + check.Module + "/wire\"",
		"h2grpc/a.go":             "package h2grpc\nimport _ \"" + check.Module + "/plugin/internal/control\" // want",
		"h2grpc/internal/h2/a.go": "package h2\nimport _ \"" + check.Module + "/h2grpc/status\"",
		"plugin/host/a.go":        "package host\nimport _ \"" + check.Module + "/plugin\"",
		"plugin/a_test.go":        "package plugin_test\nimport _ \"" + check.Module + "/plugin/host\"",
		"util/a.go":               "package util // want",
	},
	"imports from outside": {
		"wire/a.go":               "package wire\nimport _ \"google.golang.org/protobuf/proto\" // want\nimport _ \"google.golang.org/protobuf/encoding/protowire\"",
		"plugin/a.go":             "package plugin\nimport _ \"os/exec\" // want\nimport _ \"text/template\" // want",
		"plugin/host/a.go":        "package host\nimport _ \"os/exec\"\nimport _ \"golang.org/x/net/http2\" // want",
		"h2grpc/internal/h2/a.go": "package h2\nimport _ \"golang.org/x/net/http2/hpack\"\nimport _ \"net/http\" // want\nimport _ \"golang.org/x/net/http2\" // want",
		"h2grpc/a.go":             "package h2grpc\nimport _ \"github.com/someone/else\" // want\nimport _ \"testing\" // want",
		"h2grpc/a_test.go":        "package h2grpc_test\nimport _ \"testing\"",
	},
	"nested modules": {
		"Makefile":                    "NESTED  := $(sort $(wildcard h2grpc/*/go.mod testdata/*/go.mod))",
		"h2grpc/grpcbridge/go.mod":    "module n",
		"h2grpc/grpcbridge/a.go":      "package grpcbridge\nimport _ \"fmt\"\nimport _ \"" + check.Module + "/h2grpc\"\nimport _ \"" + check.Module + "/h2grpc/internal/h2\" // want\nimport _ \"google.golang.org/grpc/codes\"\nimport _ \"github.com/someone/else\" // want",
		"h2grpc/grpcbridge/a_test.go": "package grpcbridge_test\nimport _ \"github.com/someone/else\"",
		"h2grpc/other/go.mod":         "module n // whole",
		"testdata/n/go.mod":           "module n",
		"testdata/n/a.go":             "package n\nimport _ \"github.com/someone/else\"",
		"testdata/n/unseen/go.mod":    "module n // whole",
	},
	"wire is pure": {
		"wire/a.go":      "package wire\nimport \"os\" // want\nimport \"time\"\nvar _ = time.Now // want\nvar _ time.Duration\nfunc f() {\n\tgo f() // want\n}\nvar _ = os.Args",
		"wire/a_test.go": "package wire_test\nimport _ \"os\"",
		"h2grpc/a.go":    "package h2grpc\nimport _ \"os\"",

		"wire/fields/a.go": "package fields\nimport _ \"sync\" // want",
	},
	"process-wide state": {
		"plugin/a.go":             "package plugin\nimport \"os\"\nfunc f() {\n\tos.Exit(1) // want\n\tos.Stdout = nil // want\n\t_ = os.Getenv(\"A\") // want\n\t_ = os.Stdout\n}",
		"plugin/process.go":       "package plugin\nimport (\n\t\"os\"\n\t\"os/signal\"\n)\nfunc g() {\n\tsignal.Ignore()\n\tos.Exit(1) // want\n}",
		"plugin/serve.go":         "package plugin\nimport \"os\"\nfunc Serve() { os.Exit(1) }",
		"plugin/capture.go":       "package plugin\nimport \"os\"\nfunc h() {\n\tos.Stdout = nil\n}",
		"plugin/host/a.go":        "package host\nimport (\n\t\"os/signal\"\n\tt \"time\"\n)\nfunc f() {\n\tsignal.Ignore() // want\n\tt.Sleep(1) // want\n\t<-t.After(1) // want\n}",
		"plugin/host/start.go":    "package host\nimport \"os\"\nvar _ = os.Environ\nvar _ = os.Getenv // want",
		"cmd/kvhost/main.go":      "package main\nimport \"os\"\nfunc main() { os.Exit(0) }",
		"h2grpc/a_test.go":        "package h2grpc_test\nimport \"os\"\nfunc f() { os.Exit(0) }",
		"cmd/a/testdata/x/a.go":   "package main\nimport \"os\"\nfunc init() { os.Stdout = nil }",
		"testdata/interop/go.mod": "module n",
	},
	"files by descriptors": {
		"plugin/host/a.go":               "package host\nimport (\n\t\"net\"\n\t\"os\"\n\t\"" + check.Module + "/wire\"\n)\nfunc f(path string) {\n\tos.RemoveAll(path) // want\n\tos.OpenFile(path, os.O_CREATE|os.O_RDWR, 0) // want\n\tos.Open(path)\n\tnet.Listen(\"unix\", path) // want\n\tnet.Listen(wire.NetworkUnix, path) // want\n\tnet.Listen(\"tcp\", path)\n\tnet.Listen(wire.NetworkTCP, path)\n\tnew(net.ListenConfig).Listen(nil, \"unix\", path) // want\n}",
		"plugin/internal/files/a.go":     "package files\nimport \"os\"\nvar _ = os.Remove",
		"plugin/host/a_test.go":          "package host_test\nimport \"os\"\nvar _ = os.Remove",
		"plugin/host/testdata/x/main.go": "package main\nimport \"os\"\nvar _ = os.Remove",
		"cmd/kvhost/main.go":             "package main\nimport \"os\"\nvar _ = os.Remove",
	},
	"pinned certificates": {
		"plugin/host/a.go":              "package host\nimport \"crypto/tls\"\nvar _ = tls.Config{\n\tInsecureSkipVerify: true, // want\n}\nfunc f(c *tls.Config) bool {\n\tc.VerifyConnection = nil // want\n\treturn c.InsecureSkipVerify\n}",
		"plugin/certs/a.go":             "package certs\nimport \"crypto/tls\"\nvar _ = tls.Config{\n\tInsecureSkipVerify: true,\n\tVerifyPeerCertificate: nil, // want\n}",
		"plugin/internal/automtls/a.go": "package automtls\nimport \"crypto/tls\"\nvar _ = tls.Config{\n\tVerifyConnection: nil,\n\tVerifyPeerCertificate: nil, // want\n}",
	},
	"environment names": {
		"plugin/host/a.go": "package host\nconst a = \"PLUGIN_MIN_PORT\" // want\nconst b = \"the PLUGIN_MIN_PORT of a text\"",
		"wire/a.go":        "package wire\nconst a = \"PLUGIN_MIN_PORT\"",
	},
	"no init": {
		"h2grpc/a.go":      "package h2grpc\nfunc init() {} // want\ntype t struct{}\nfunc (t) init() {}",
		"h2grpc/a.pb.go":   "// Code generated by x. DO NOT EDIT.\n\npackage h2grpc\nfunc init() {}",
		"h2grpc/a_test.go": "package h2grpc\nfunc init() {}",
	},
	"no sleep in real time": {
		"h2grpc/a_test.go":           "package h2grpc_test\nimport (\n\t\"testing\"\n\t\"testing/synctest\"\n\t\"time\"\n)\nfunc TestA(t *testing.T) {\n\ttime.Sleep(1) // want\n\tsynctest.Test(t, func(t *testing.T) {\n\t\ttime.Sleep(1)\n\t})\n\tgo func() {\n\t\ttime.Sleep(1) // want\n\t}()\n}",
		"testdata/interop/go.mod":    "module n",
		"testdata/interop/x/help.go": "package x\nimport \"time\"\nfunc f() {\n\ttime.Sleep(1) // want\n}",
	},
	"named time-outs": {
		"plugin/a.go":          "package plugin\nimport \"time\"\nvar a = 5 * time.Second // want\nconst b = 5 * time.Second\nfunc f(d time.Duration) bool {\n\treturn d < time.Second*2 || d/time.Second > 1 // want\n}",
		"plugin/a_test.go":     "package plugin_test\nimport \"time\"\nvar a = 5 * time.Second",
		"cmd/kvplugin/main.go": "package main\nimport \"time\"\nvar a = 5 * time.Second",
	},
	"limits have reasons": {
		"wire/limits.go":       "package wire\n\nconst (\n\t// a is why.\n\ta = 1\n\tb = 2\n\n\tc = 3 // want\n)\n\nconst d = 4 // want\n\n// e is why.\nconst e = 5",
		"wire/other.go":        "package wire\n\nconst f = 6",
		"wire/limits_test.go":  "package wire\n\nconst g = 7",
		"testdata/n/limits.go": "package n\n\nconst h = 8",
	},
	"short files": {
		"wire/a.go":    "package wire" + strings.Repeat("\n//", check.MaxLines-1) + "\n",
		"wire/b.go":    "package wire" + strings.Repeat("\n//", check.MaxLines) + " want\n",
		"wire/b.pb.go": "// Code generated by x. DO NOT EDIT.\n\npackage wire" + strings.Repeat("\n//", check.MaxLines) + "\n",
	},
	"shape": {
		"wire/a.go": "package wire\n" +
			"type small struct {\n\ta, b int\n\tc struct{ d int }\n" + strings.Repeat("\te int\n", 21) + "}\n" +
			"type large struct { // want\n\ta, b int\n\tc struct{ d int }\n" + strings.Repeat("\te int\n", 22) + "}\n" +
			"func short() {" + strings.Repeat("\n", 79) + "}\n" +
			"func (l *large) long() { // want\n" + strings.Repeat("\n", 79) + "}\n" +
			"func known() {\n" + strings.Repeat("\n", 81) + "}\n",
		"wire/a_test.go": "package wire\nfunc f() {" + strings.Repeat("\n", 99) + "}\n",
		// first uses nothing of third, or the reverse order would be as good.
		"h2grpc/first.go":  "package h2grpc\nfunc A() {\n\tb()\n\td()\n}\nfunc c() {}\n",
		"h2grpc/second.go": "package h2grpc\nfunc b() {\n\te()\n\tc()\n}\n",
		"h2grpc/third.go":  "package h2grpc\ntype t int\nfunc d() {}\nfunc e() {\n\tvar x t\n\tx.f()\n}\nfunc (t) f() { A() }\n",
		"testdata/ceilings.txt": strings.Join([]string{
			"# what has grown",
			"function wire.known 83",
			"function wire.gone 83 # // want",
			"function wire.short 80 # // want",
			"lines wire 400",
			"own-lines wire 9",
			"up h2grpc 2",
			"up h2grpc/codes 1 # // want",
			"returns h2grpc:A 2",
			"nonsense # // want",
		}, "\n"),
	},
	"what peers make us keep": {
		"h2grpc/README.md": strings.Join([]string{
			"| what is kept | budget | at the bound | seen in |",
			"| --- | --- | --- | --- |",
			"| messages | `maxMessages`, `Config.Most` | they wait | “a flood”, TestThere |",
			"| messages | a sensible number // want | they wait | “a flood” |",
			"| messages | `maxNothing` // want | they wait | `h2grpc` TestThere |",
			"| messages | `maxMessages` | they wait | nothing yet // want |",
			"| messages | `maxMessages` | they wait | “a drought”, TestNot // want // want |",
			"| messages | `maxMessages` // want |",
			"",
			"| something else |",
		}, "\n"),
		"h2grpc/limits.go":                    "package h2grpc\n\nconst maxMessages = 1\n\ntype Config struct{ Most int }\n",
		"h2grpc/a_test.go":                    "package h2grpc\nimport \"testing\"\nfunc TestThere(t *testing.T) {\n}\n",
		"h2grpc/internal/attack/rows_test.go": "package attack\n\nvar row = struct{ name string }{\"a flood\"}\n",
	},
	"top level": {
		"README.md":      "text",
		"wire/a.go":      "package wire",
		"main.go":        "package main // want0",
		"internal/a.go":  "package internal // want0",
		"internal/b.txt": "once is enough",
	},
	"documents": {
		"README.md": strings.Join([]string{
			"# The \"top\": here",
			"See [a](testdata/readme/a.go), [the top](#the-top-here), [elsewhere](https://example.org/#x),",
			"[rows](cmd/internal/check/README.md#rows), [none](cmd/internal/check/README.md#no-rows), // want",
			"[no top](#top) // want",
			"and [nothing](nowhere.md), // want",
			"and `code[T](here)`.",
			"",
			"In [b](testdata/readme/b.go):",
			"",
			"```go",
			"package b",
			"```",
			"",
			"and in [b](testdata/readme/b.go):",
			"| a threat | TestThere, TestNot | // want |",
			"| a threat | `plugin` TestThere, `wire` TestThere | // want |",
			"",
			"| threat | outcome | test |",
			"| --- | --- | --- |",
			"| a threat | none | `plugin` TestThere |",
			"| a threat | none | `plugin` | // want |",
			"",
			"| a threat |",
			"",
			"```go",
			"package c // want",
			"```",
			"",
			"```",
			"make all",
			"make none // want",
			"```",
			"",
			"`make all` and `make nothing`, // want",
			"which make sense",
			strings.Repeat(" ", 10<<10),
		}, "\n"),
		check.LinesFile: strings.Join([]string{
			"## Rows",
			"[up](../../../wire), [not up](wire) // want",
			"| [`wire`](../../../wire) | 2 | text |",
			"| [`plugin`](../../../plugin) | 300 | // want |",
			"| [`gone`](../../../wire) | 1 | // want |",
			"| all that `plugin` links | 4 | |",
			"| all that `wire` links | 300 | // want |",
		}, "\n"),
		"Makefile":             "x:\n\nall: x\n",
		"testdata/readme/a.go": "package a",
		"testdata/readme/b.go": "package b\n",
		"plugin/b_test.go":     "package plugin_test\nimport \"testing\"\nfunc TestThere(t *testing.T) {\n}\nfunc TestNo(t *testing.T) {\n}",
		"wire/a.go":            "package wire\n\n// A comment.\nvar a = 1 // and code",
		"plugin/a.go":          "package plugin\nimport _ \"" + check.Module + "/wire\"",
		"plugin/a_test.go":     "package plugin_test" + strings.Repeat("\nvar _ = 1", 100),
		"h2grpc/a.go":          "package h2grpc",
		"h2grpc/a.pb.go":       "// Code generated by x. DO NOT EDIT.\n\npackage h2grpc" + strings.Repeat("\nvar _ = 1", 100),
	},
	"exported API": {
		check.APIFile:        "wire const C\nwire func F(int) error // want\nwire type T struct { }\nwire T.A int\n",
		"wire/a.go":          "package wire\nconst C, c = 1, 2\nfunc F(int) {}\ntype T struct {\n\tA int\n\tb int\n}\nfunc (T) f() {}\ntype t int\nfunc (t) G() {}",
		"wire/i/a.go":        "package main\nfunc F() {}",
		"wire/x_test.go":     "package wire\nfunc X() {}",
		"wire/internal/a.go": "package internal\nfunc F() {}",
	},
	"go.mod": {
		"go.mod": strings.NewReplacer(
			"golang.org/x/net v0.1.0", "golang.org/x/net v0.1.0 // indirect want",
			"go 1.26.0\n", "go 1.26.0\n\ntool golang.org/x/tools/cmd/stringer // want\n\nreplace a.b/c => ../c // want\n",
			"protobuf v1.0.0", "protobuf v1.0.0\n\tgithub.com/someone/else v1.0.0 // want",
		).Replace(goMod),
	},
}

func TestRules(t *testing.T) {
	seen := make(map[string]bool)
	for _, rule := range check.Rules() {
		seen[rule.Name] = true
		t.Run(rule.Name, func(t *testing.T) {
			texts := examples[rule.Name]
			if len(texts) == 0 {
				t.Fatal("the rule has no example that breaks it")
			}
			want := make(map[string]int) // by path and line
			all := make(map[string][]byte)
			if _, ok := texts["go.mod"]; !ok {
				all["go.mod"] = []byte(goMod)
			}
			for name, text := range texts {
				all[name] = []byte(text)
				for i, line := range strings.Split(text, "\n") {
					_, marks, _ := strings.Cut(line, "//")
					for mark := range strings.FieldsSeq(marks) {
						if mark == "want" {
							want[check.Finding{Path: name, Line: i + 1}.String()]++
						} else if mark == "whole" { // the file
							want[check.Finding{Path: name}.String()]++
						} else if mark == "want0" {
							first, _, _ := strings.Cut(name, "/")
							want[check.Finding{Path: first}.String()]++
						}
					}
				}
			}
			tree, err := check.New(all)
			if err != nil {
				t.Fatal(err)
			}
			got := make(map[string]int)
			var findings []string
			for _, f := range rule.Check(tree) {
				if f.Text == "" {
					t.Errorf("%v: a finding that does not say what is wrong", f)
				}
				findings = append(findings, f.String())
				f.Text = ""
				got[f.String()]++
			}
			if rule.Name == "go.mod" {
				want["go.mod: "]++ // x/net is missed as well
			}
			if rule.Name == "exported API" {
				want[check.APIFile+": "]++ // func F is another
			}
			if rule.Name == "documents" {
				want[check.LinesFile+": "]++ // h2grpc has no row
				want["README.md: "]++        // it is too long
			}
			if rule.Name == "shape" {
				want["wire: "]++ // it has more lines than its ceiling
			}
			if len(want) == 0 {
				t.Error("the example breaks nothing")
			}
			if !maps.Equal(got, want) {
				t.Errorf("found\n\t%s\nwant findings at\n\t%v", strings.Join(findings, "\n\t"), slices.Sorted(maps.Keys(want)))
			}
		})
	}
	for name := range examples {
		if !seen[name] {
			t.Errorf("an example for the rule %q, which does not exist", name)
		}
	}
}
