// Package echopb has the message of all calls that are measured: echo.proto and what
// generate.sh writes from it.
package echopb
