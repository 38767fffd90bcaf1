package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// connectJudges run connectconformance: its reference client against our
// server, its reference server against our client, and ours against ours.
func connectJudges() []judge {
	client, server := "conformance-client", "conformance-server"
	return []judge{
		{name: "connect-server", what: "connectconformance v1.0.6, server", want: 570, others: "grpc-go 562", run: connect("server", "--parallel=2", server)},
		{name: "connect-client", what: "connectconformance v1.0.6, client", want: 646, others: "grpc-go 638", run: connect("client", "", client)},
		{name: "connect-both", what: "connectconformance v1.0.6, client and server", want: 306, run: connect("both", "", client, server)},
	}
}

var (
	connectCounts = regexp.MustCompile(`(?m)^Total cases: (\d+)\n(\d+) passed, (\d+) failed`)
	connectSkips  = regexp.MustCompile(`(?mi)^.*\bskip.*$`)
)

// connect judges programs in a mode of connectconformance.
func connect(mode, option string, programs ...string) func(context.Context, *bench, *log) (verdict, error) {
	return func(ctx context.Context, b *bench, l *log) (verdict, error) {
		args := []string{b.program("connectconformance"), "-v", "--conf", "config.yaml", "--mode", mode, "--max-servers=2"}
		if option != "" {
			args = append(args, option)
		}
		args = append(args, "--", b.program(programs[0]))
		if len(programs) > 1 {
			args = append(args, "----", b.program(programs[1]))
		}
		out, code, err := l.output(ctx, args...)
		if err != nil {
			return verdict{}, err
		}
		m := connectCounts.FindStringSubmatch(out)
		if m == nil {
			return verdict{}, fmt.Errorf("connectconformance counted nothing:\n%s", tail(out))
		}
		v := verdict{passed: number(m[2]), total: number(m[1])}
		v.notes = append(v.notes, connectSkips.FindAllString(out, -1)...)
		v.notes = append(v.notes, "left out by config.yaml: Connect and gRPC-Web, HTTP/1.1 and HTTP/3, JSON, compressions other than gzip")
		if code != 0 || number(m[3]) != 0 {
			return v, fmt.Errorf("exit status %d:\n%s", code, strings.Join(linesWith(out, "FAILED"), "\n"))
		}
		return v, nil
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

// linesWith returns the lines that contain a word.
func linesWith(text, word string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			out = append(out, strings.TrimSuffix(line, "\n"))
		}
	}
	return out
}

// tail returns the last lines of a text.
func tail(text string) string {
	const most = 30
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

// lastLine returns the last line of a text.
func lastLine(text string) string {
	text = strings.TrimRight(text, "\n")
	return text[strings.LastIndexByte(text, '\n')+1:]
}
