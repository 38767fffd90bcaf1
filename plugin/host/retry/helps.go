package retry

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"slices"
	"syscall"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
	"github.com/tenonrpc/tenon/plugin/internal/peercred"
	"github.com/tenonrpc/tenon/plugin/internal/procid"
)

// Helps reports whether trying again may help after err, an error of host.Start: the
// package's documentation has the table. It returns false for an error that is not a
// *host.StartError, or does not wrap one, and for one that it does not know. It cannot
// tell a time-out of the start from a deadline of the context: Start can.
func Helps(err error) bool {
	e := (*host.StartError)(nil)
	if !errors.As(err, &e) || errors.Is(e, context.Canceled) {
		return false
	}
	late := errors.Is(e, context.DeadlineExceeded)
	switch e.Stage {
	case host.StagePrepare:
		return isShortage(e)
	case host.StageLaunch:
		return late || isShortage(e) || isBusy(e)
	case host.StageHandshake:
		return late || e.ExitStatus.Ended && !isFinal(e)
	case host.StageConnect:
		switch {
		case isRefused(e):
			return false
		case late || isShortage(e) || nobodyListens(e):
			return true
		}
		return e.ExitStatus.Ended && !isFinal(e)
	}
	return false
}

// isFinal reports whether a plugin that has ended would end the next time, too: it
// refused the cookie, it could not be loaded, or what it printed is no handshake.
func isFinal(e *host.StartError) bool {
	line := (*hostwire.HandshakeError)(nil)
	return errors.Is(e, host.ErrCookieRefused) || errors.Is(e, host.ErrNotRunning) ||
		errors.As(e, &line) || e.ExitStatus.Code == procid.StatusNotFound
}

// isRefused reports whether this host has refused the connection, for what answered it.
func isRefused(e *host.StartError) bool {
	record := tls.RecordHeaderError{}
	return errors.Is(e, automtls.ErrPin) || errors.Is(e, automtls.ErrCurve) || errors.As(e, &record) ||
		errors.Is(e, peercred.ErrStranger) || errors.Is(e, fs.ErrPermission)
}

// nobodyListens reports whether there was nothing at the plugin's address.
func nobodyListens(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, errRefused) || errors.Is(err, fs.ErrNotExist)
}

// isShortage reports whether the system lacked something that it may have soon.
func isShortage(err error) bool {
	is := func(lack syscall.Errno) bool { return errors.Is(err, lack) }
	return slices.ContainsFunc(shortages, is) || slices.ContainsFunc(systemShortages, is)
}

var shortages = []syscall.Errno{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS}

// isBusy reports whether the program is open for writing.
func isBusy(err error) bool { return errors.Is(err, syscall.ETXTBSY) || errors.Is(err, errBusy) }
