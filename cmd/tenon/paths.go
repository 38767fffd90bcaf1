package main

import (
	"slices"
	"strings"
)

// The modules that migrate knows.
const (
	ours      = "github.com/tenonrpc/tenon"
	oldPlugin = "github.com/hashicorp/go-plugin"
	oldGRPC   = "google.golang.org/grpc"
)

// The packages whose names configurations get.
const (
	hostPath       = ours + "/plugin/host"
	reflectionPath = ours + "/h2grpc/reflection"
	contextPath    = "context"
)

// A move is a package of the old libraries that has a counterpart. short is what
// its names are listed under in this command's tables.
type move struct{ short, from, to string }

var moves = []move{
	{"plugin", oldPlugin, ours + "/plugin"},
	{"grpc", oldGRPC, ours + "/h2grpc"},
	{"codes", oldGRPC + "/codes", ours + "/h2grpc/codes"},
	{"metadata", oldGRPC + "/metadata", ours + "/h2grpc/metadata"},
	{"peer", oldGRPC + "/peer", ours + "/h2grpc/peer"},
	{"status", oldGRPC + "/status", ours + "/h2grpc/status"},
}

// moveOf returns the move of an import path.
func moveOf(path string) (move, bool) {
	i := slices.IndexFunc(moves, func(m move) bool { return m.from == path })
	if i < 0 {
		return move{}, false
	}
	return moves[i], true
}

// silent reports whether a package of grpc-go, used together with h2grpc, is wrong
// without a compiler error.
func silent(path string) bool {
	m, ok := moveOf(path)
	return ok && m.short != "plugin" && m.short != "grpc"
}

// below reports whether an import path is that of a module or of a package in it.
func below(path, module string) bool {
	return path == module || strings.HasPrefix(path, module+"/")
}
