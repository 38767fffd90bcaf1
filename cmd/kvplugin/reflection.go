//go:build reflection

package main

import "github.com/tenonrpc/tenon/h2grpc/reflection"

// registerReflection lets grpcurl and its like see what the plugin serves.
var registerReflection = reflection.Register
