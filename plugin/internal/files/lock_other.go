//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package files

import (
	"errors"
	"os"
)

// CanHold reports whether directories can be held, and files passed to plugins for that.
const CanHold = false

// Hold does nothing: these systems have no lock that would distinguish the directories of
// dead hosts from those in use. The directories stay.
func (d *Dir) Hold() error { return nil }

// Claim fails: whether anyone holds the directory cannot be determined.
func (d *Dir) Claim() error { return errors.ErrUnsupported }

// HoldFile does nothing, like Hold.
func HoldFile(*os.File) error { return nil }

// ClaimFile fails, like Claim.
func ClaimFile(*os.File) error { return errors.ErrUnsupported }
