//go:build windows

package winpipe

// bufferSize is how many bytes a pipe holds that nobody has read yet: as many as
// Linux's do.
const bufferSize = 64 << 10
