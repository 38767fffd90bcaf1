//go:build !reflection

package main

import "github.com/tenonrpc/tenon/h2grpc"

var registerReflection func(*h2grpc.Server, ...[]byte)
