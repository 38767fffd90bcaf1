//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package files

import (
	"errors"
	"os"
)

// CanHold is whether directories can be held, and files handed down for that.
const CanHold = false

// Hold does nothing: there are no locks here that would tell the directories of
// dead hosts from those in use. They stay.
func (d *Dir) Hold() error { return nil }

// Claim fails: who holds the directory cannot be known.
func (d *Dir) Claim() error { return errors.ErrUnsupported }

// HoldFile does nothing, as Hold.
func HoldFile(*os.File) error { return nil }

// ClaimFile fails, as Claim.
func ClaimFile(*os.File) error { return errors.ErrUnsupported }
