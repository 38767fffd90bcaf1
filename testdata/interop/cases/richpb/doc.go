// Package richpb has the messages of the rich plugin: what generate.sh writes from
// messages.proto and rich.proto. The stubs are in packages of each library's.
package richpb
