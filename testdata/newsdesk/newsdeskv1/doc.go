// Package newsdeskv1 is generated from newsdesk.proto: messages and stubs of the first
// version of filters, and of sinks.
package newsdeskv1
