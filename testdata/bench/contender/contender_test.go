package contender_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin/bench/contender"
)

// connect serves a contender and returns a client of it.
func connect(t *testing.T, c contender.Contender, secret *contender.Secret) contender.Conn {
	t.Helper()
	config, err := secret.Config()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "tn") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	stop, err := c.Serve(l, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	conn, err := c.Dial(func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// TestContenders checks that every contender does what is measured.
func TestContenders(t *testing.T) {
	secret, err := contender.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range contender.All() {
		for name, secret := range map[string]*contender.Secret{"plain": nil, "mTLS": secret} {
			t.Run(c.Name+"/"+name, func(t *testing.T) {
				conn := connect(t, c, secret)
				ctx, cancel := context.WithTimeout(t.Context(), contender.Deadline)
				defer cancel()
				for _, size := range []int{0, 8, 1 << 10, 1 << 20} {
					if err := echo(ctx, conn, size); err != nil {
						t.Errorf("Echo of %d bytes: %v", size, err)
					}
				}
				if c.Name == contender.Raw {
					return
				}
				for name, err := range map[string]error{
					"Inspect": inspect(ctx, conn), "Source": source(ctx, conn), "Sink": sink(ctx, conn), "Chat": chat(ctx, conn),
					"Echo after a while": delayed(ctx, conn),
				} {
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			})
		}
	}
}

func echo(ctx context.Context, conn contender.Conn, size int) error {
	in := bytes.Repeat([]byte("x"), size)
	out, err := conn.Echo(ctx, &contender.Message{Data: in})
	if err == nil && !bytes.Equal(out.Data, in) {
		err = fmt.Errorf("got %d other bytes", len(out.Data))
	}
	return err
}

func delayed(ctx context.Context, conn contender.Conn) error {
	begin := time.Now()
	_, err := conn.Echo(ctx, &contender.Message{WaitUs: 2000, ComputeUs: 1000})
	if took := time.Since(begin); err == nil && took < 3*time.Millisecond {
		err = fmt.Errorf("it took %v", took)
	}
	return err
}

func inspect(ctx context.Context, conn contender.Conn) error {
	out, err := conn.Inspect(ctx, contender.MakePairs(), &contender.Message{Data: []byte("x")})
	if err == nil && string(out.Data) != "x" {
		err = fmt.Errorf("got %q", out.Data)
	}
	if err == nil {
		if _, err := conn.Inspect(ctx, nil, &contender.Message{}); err == nil || !strings.Contains(err.Error(), "metadata") {
			return fmt.Errorf("without metadata: %v", err)
		}
	}
	return err
}

func source(ctx context.Context, conn contender.Conn) error {
	s, err := conn.Open(ctx, contender.Source)
	if err != nil {
		return err
	}
	if err := errors.Join(s.Send(&contender.Message{Data: []byte("abc"), Count: 5}), s.CloseSend()); err != nil {
		return err
	}
	for n := 0; ; n++ {
		m, err := s.Recv()
		if err == io.EOF && n == 5 {
			return nil
		}
		if err != nil || string(m.Data) != "abc" {
			return fmt.Errorf("after %d messages: %v, %w", n, m, err)
		}
	}
}

func sink(ctx context.Context, conn contender.Conn) error {
	s, err := conn.Open(ctx, contender.Sink)
	if err != nil {
		return err
	}
	for range 5 {
		if err := s.Send(&contender.Message{Data: []byte("abc")}); err != nil {
			return err
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	out, err := s.Recv()
	if err == nil && out.Count != 5 {
		err = fmt.Errorf("it counts %d messages of 5", out.Count)
	}
	return err
}

func chat(ctx context.Context, conn contender.Conn) error {
	s, err := conn.Open(ctx, contender.Chat)
	if err != nil {
		return err
	}
	for i := range byte(5) {
		if err := s.Send(&contender.Message{Data: []byte{i}}); err != nil {
			return err
		}
		if m, err := s.Recv(); err != nil || m.Data[0] != i {
			return fmt.Errorf("message %d: %v, %w", i, m, err)
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	if m, err := s.Recv(); err != io.EOF {
		return fmt.Errorf("after the last: %v, %w", m, err)
	}
	return nil
}
