// Stubborn is a plugin that does not want to end: it ignores signals, and has no
// Shutdown method. If its file's name contains "silent" it has one that never
// answers.
package main

import (
	"context"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/internal/control"
	"github.com/tenonrpc/tenon/wire"
)

func main() {
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	env, err := wire.ParseEnv(os.LookupEnv)
	if err != nil {
		log.Fatal(err)
	}
	socket := filepath.Join(env.UnixSocketDir, "plugin")
	l, err := net.Listen("unix", socket)
	if err != nil {
		log.Fatal(err)
	}
	server := h2grpc.NewServer(nil)
	if strings.Contains(filepath.Base(os.Args[0]), "silent") {
		control.RegisterController(server, silent{})
	}
	handshake := wire.Handshake{CoreVersion: wire.CoreVersion, AppVersion: 1, Network: "unix", Address: socket, Protocol: "grpc"}
	if _, err := os.Stdout.Write(handshake.Append(nil)); err != nil {
		log.Fatal(err)
	}
	log.Fatal(server.Serve(l))
}

type silent struct{}

func (silent) Shutdown(context.Context, *wire.Empty) (*wire.Empty, error) { select {} }
