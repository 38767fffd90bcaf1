package main

import (
	"bytes"
	"fmt"
	"slices"
)

// pair is the libraries of a host and a plugin.
type pair struct{ letter, host, plugin string }

var pairs = []pair{
	{"A", "tenon", "go-plugin"},
	{"B", "go-plugin", "tenon"},
	{"C", "tenon", "tenon"},
}

// isPair leaves out what the tests run besides: hosts in plugins, hosts that
// are killed, modes that a version does not have.
func isPair(k key) bool {
	modes := slices.ContainsFunc(sections, func(s section) bool { return s.library == k.Library && !slices.Contains(s.modes, k.Mode) })
	return !modes && slices.ContainsFunc(pairs, func(p pair) bool { return p.host == k.Host && p.plugin == k.Plugin })
}

// The modes, as the tests name them.
const (
	plain       = "plain"
	autoMTLS    = "AutoMTLS"
	multiplexed = "multiplexed"
	both        = "both"
)

// section is a version of go-plugin.
type section struct {
	library string
	modes   []string
	has     func(row) bool
	folded  bool // shown when it is asked for
}

// shows says whether a row has something to say of the version.
func (s section) shows(r row) bool {
	if !s.has(r) || r.void == nil {
		return s.has(r)
	}
	for _, p := range pairs {
		if slices.ContainsFunc(s.modes, func(mode string) bool { return r.void(p, mode) == "" }) {
			return true
		}
	}
	return false
}

var sections = []section{
	{"v1.8.0", []string{plain, autoMTLS, multiplexed, both}, func(row) bool { return true }, false},
	{"v1.4.10", []string{plain, autoMTLS}, func(r row) bool { return !r.newer }, true},
}

// row is a line of the table. Each cell sums its cases up.
type row struct {
	what  string
	cases []string
	// newer is for what is tested with the newer version alone.
	newer bool
	// void says why a cell has nothing to say, if it has not.
	void func(p pair, mode string) string
}

// The rows that need multiplexing, certificates of their own, or no host.
func onlyMultiplexed(_ pair, mode string) string {
	if mode == multiplexed || mode == both {
		return ""
	}
	return "Without multiplexing an id is good for one connection, by the protocol."
}

func notAutoMTLS(_ pair, mode string) string {
	if mode == plain || mode == multiplexed {
		return ""
	}
	return "Certificates of the application's own take AutoMTLS's place."
}

func onlyPlain(_ pair, mode string) string {
	if mode == plain {
		return ""
	}
	return "A plugin in test mode was started by no host that could ask it for AutoMTLS or multiplexing."
}

func asExamplesAsk(p pair, mode string) string {
	if p.host == "go-plugin" && mode != plain {
		return "The hosts of go-plugin's examples ask for neither AutoMTLS nor multiplexing."
	}
	return ""
}

var rows = []row{
	{what: "health check (`Ping`)", cases: []string{"ping"}},
	{what: "unary calls", cases: []string{"unary"}},
	{what: "server streams, whole and failing", cases: []string{"server stream", "server stream failing"}},
	{what: "client streams, whole and ended early", cases: []string{"client stream", "client stream ended early"}},
	{what: "two-way streams", cases: []string{"two-way stream"}},
	{what: "640 calls, 32 at once", cases: []string{"many calls at once"}},
	{what: "messages of 16 MiB, both ways", cases: []string{"unary of 16 MiB", "server stream of 16 MiB"}},
	{what: "metadata, text and binary", cases: []string{"metadata", "binary metadata"}},
	{what: "status: codes, texts, details; plain errors; missing methods", cases: []string{"status with details", "large status", "status message escaped", "plain error", "missing method"}},
	{what: "deadlines, seen and kept", cases: []string{"deadline seen", "deadline kept"}},
	{what: "cancelling", cases: []string{"cancel"}},
	{what: "what the plugin prints (stdio)", cases: []string{"stdio"}},
	{what: "what the plugin logs, by level", cases: []string{"log levels"}},
	{what: "broker: the host serves, 32 at once", cases: []string{"broker: host serves", "broker: host serves many"}},
	{what: "broker: the plugin serves, 32 at once", cases: []string{"broker: plugin serves", "broker: plugin serves many"}},
	{what: "broker: both serve, 32 at once", cases: []string{"broker: both serve many"}},
	{what: "broker: one id dialled again, 32 at once", cases: []string{"broker: plugin serves again", "broker: plugin serves one many"}, void: onlyMultiplexed},
	{what: "all of these through a relay, [cmd/relay](../../cmd/relay)", cases: []string{"through a relay"}, newer: true},
	{what: "versions: the highest of both", cases: []string{"version: the highest of both"}},
	{what: "versions: one side has one alone", cases: []string{"version: a host with one", "version: a plugin with one"}},
	{what: "versions: the lowest, for hosts that send no list", cases: []string{"version: the lowest for hosts that send no list"}},
	{what: "versions: none of both is an error that names them", cases: []string{"version: none of both is an error"}},
	{what: "certificates of the application's own", cases: []string{"own certificates"}, void: notAutoMTLS},
	{what: "the plugin listens on TCP", cases: []string{"TCP"}},
	{what: "sockets of a group that the host chooses", cases: []string{"sockets of a group"}, newer: true},
	{what: "a umask that directories cannot be entered with (0177)", cases: []string{"umask 0177"}, newer: true},
	{what: "another host attaches", cases: []string{"reattach"}, newer: true},
	{what: "a host attaches in test mode", cases: []string{"test mode"}, newer: true, void: onlyPlain},
	{what: "the end, with exit status 0", cases: []string{"shutdown"}},
	{what: "go-plugin's `examples/grpc`", cases: []string{"example grpc"}, void: asExamplesAsk},
	{what: "go-plugin's `examples/bidirectional`", cases: []string{"example bidirectional"}, void: asExamplesAsk},
	{what: "go-plugin's `examples/negotiated`, over gRPC", cases: []string{"example negotiated"}, void: asExamplesAsk},
	{what: "go-plugin's `examples/streaming`", cases: []string{"example streaming"}, newer: true, void: asExamplesAsk},
}

// notes numbers what is said below a table.
type notes []string

func (n *notes) number(text string) int {
	i := slices.Index(*n, text)
	if i < 0 {
		i = len(*n)
		*n = append(*n, text)
	}
	return i + 1
}

// write writes a version's table in Markdown. It says nothing that changes from
// one good run to the next.
func (s section) write(b *bytes.Buffer, all map[key]*outcome) error {
	if s.folded {
		fmt.Fprintf(b, "\n<details><summary>The same with go-plugin %s</summary>\n\n", s.library)
	} else {
		fmt.Fprintf(b, "With go-plugin %s:\n\n", s.library)
	}
	head, rule := "| |", "| --- |"
	for _, p := range pairs {
		for _, mode := range s.modes {
			head += fmt.Sprintf(" %s %s |", p.letter, mode)
			rule += " --- |"
		}
	}
	fmt.Fprintf(b, "%s\n%s\n", head, rule)
	var below notes
	for _, r := range rows {
		if !s.shows(r) {
			continue
		}
		line := "| " + r.what + " |"
		for _, p := range pairs {
			for _, mode := range s.modes {
				cell, err := r.cell(s.library, p, mode, all, &below)
				if err != nil {
					return err
				}
				line += " " + cell + " |"
			}
		}
		fmt.Fprintln(b, line)
	}
	if len(below) > 0 {
		fmt.Fprintln(b)
	}
	for i, text := range below {
		fmt.Fprintf(b, "%d. %s\n", i+1, text)
	}
	if s.folded {
		fmt.Fprint(b, "\n</details>\n")
	}
	return nil
}

// cell is "yes" if all cases of the row work, "no" with the reason if one does
// not, and a dash if there is nothing to be tested.
func (r row) cell(library string, p pair, mode string, all map[key]*outcome, below *notes) (string, error) {
	void := ""
	if r.void != nil {
		void = r.void(p, mode)
	}
	no := ""
	for _, name := range r.cases {
		k := key{library, p.host, p.plugin, mode, name}
		o := all[k]
		switch {
		case void != "" && o != nil:
			return "", fmt.Errorf("there is a result of %+v, although %q", k, void)
		case void != "":
			continue
		case o == nil:
			return "", fmt.Errorf("there is no result of %+v: it was not run", k)
		}
		o.used = true
		if no == "" {
			no = o.no
		}
	}
	switch {
	case void != "":
		return fmt.Sprintf("–<sup>%d</sup>", below.number(void)), nil
	case no != "":
		return fmt.Sprintf("no<sup>%d</sup>", below.number(no)), nil
	}
	return "yes", nil
}
