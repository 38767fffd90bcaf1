//go:build windows

package winpipe

// bufferSize is how many unread bytes a pipe holds: as many as on Linux.
const bufferSize = 64 << 10
