// Package greetpb has the messages and stubs of greet.proto.
package greetpb
