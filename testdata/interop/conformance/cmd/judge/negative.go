package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tenonrpc/tenon/plugin/interop/conformance/internal/negative"
)

// negativeJudges run both clients against the server that breaks off calls and
// connections.
func negativeJudges() []judge {
	n := len(negative.Cases)
	ours := func(b *bench, s *negative.Server, name string) []string {
		return []string{b.program("interop-client"), "-addr", s.Addr().String(), "-case", name}
	}
	theirs := func(b *bench, s *negative.Server, name string) []string {
		return []string{b.program("grpc-negative"), "--server_host=127.0.0.1", "--server_port=" + strconv.Itoa(s.Addr().Port), "--test_case=" + name}
	}
	return []judge{
		{name: "negative", what: "negative HTTP/2 cases, our client", want: n, run: negativeClient(ours, nil)},
		{name: "negative-grpc", what: "negative HTTP/2 cases, grpc-go v1.85.0 client", want: n,
			run: negativeClient(theirs, map[string]string{"rst_during_data": "_, Internal, want _, Unknown"}),
			but: "In the negative case rst_during_data grpc-go's client gets INTERNAL, as gRPC's specification has it for RST_STREAM with NO_ERROR. Its own test asks for UNKNOWN, which is not held against it."},
	}
}

// negativeClient runs a client once a case, each against a server of its own.
// faults are the words with which the client gives a wrong verdict on its own
// right behaviour, by the case.
func negativeClient(client func(*bench, *negative.Server, string) []string, faults map[string]string) func(context.Context, *bench, *log) (verdict, error) {
	return func(ctx context.Context, b *bench, l *log) (verdict, error) {
		v := verdict{total: len(negative.Cases)}
		var errs []error
		for _, name := range negative.Cases {
			s, err := negative.Listen(name)
			if err != nil {
				return v, err
			}
			part := &log{}
			_, code, err := part.output(ctx, client(b, s, name)...)
			text := part.text.String()
			l.Write([]byte(text))
			err = errors.Join(err, s.Close())
			words, wrong := faults[name]
			switch {
			case err != nil:
			case wrong && code != 0 && strings.Contains(text, words):
				v.notes = append(v.notes, name+": passed, though the client's own test is not content: "+lastLine(text))
			case wrong:
				err = fmt.Errorf("exit status %d, want a complaint with %q", code, words)
			case code != 0:
				err = fmt.Errorf("exit status %d: %s", code, text)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
				continue
			}
			v.passed++
		}
		return v, errors.Join(errs...)
	}
}
