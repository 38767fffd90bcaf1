// Package newsdeskv2 is generated from filter.proto: messages and stubs of the second
// version of filters, and of the host's archive, which they call.
package newsdeskv2
