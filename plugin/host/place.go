package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/tenonrpc/tenon/plugin/internal/files"
	"github.com/tenonrpc/tenon/wire"
)

// placeDir makes the directory for the plugin's sockets where there is room for their
// names: in Config.Sockets.TempDir if that is set, otherwise in the directory for
// temporary files or, if its name is too long, in the user's runtime directory or /tmp.
func (c *Client) placeDir(env []string) (*socketDir, error) {
	s := c.settings
	if s.sockets.TempDir != "" {
		return c.dirBelow(s.sockets.TempDir)
	}
	d, err := c.dirBelow(os.TempDir())
	if tooLong := (*dirTooLongError)(nil); !errors.As(err, &tooLong) {
		return d, err
	}
	for _, parent := range []string{lookupEnv(env, "XDG_RUNTIME_DIR"), "/tmp"} {
		if !filepath.IsAbs(parent) || !safeParent(parent, ownerOf(s).others()) {
			continue
		}
		if d, err := c.dirBelow(parent); err == nil {
			return d, nil
		}
	}
	return nil, err
}

// dirBelow makes the directory below parent.
func (c *Client) dirBelow(parent string) (*socketDir, error) {
	s := c.settings
	parent, err := filepath.Abs(parent) // independent of Cmd.Dir and of this process's directory
	if err != nil {
		return nil, err
	}
	// Paths become a field of the handshake line, and peers take them for text.
	if i := wire.Unspeakable(parent); i >= 0 {
		return nil, &badPathError{parent, parent[i]}
	}
	if room := roomOn(runtime.GOOS); len(parent) > room {
		return nil, &dirTooLongError{parent, room}
	}
	to := ownerOf(s)
	d, err := newSocketDir(parent, to, s.target.detach, s.target.runner != nil)
	if to.maybe && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL)) {
		// In some environments root may not give files away. The plugin may still run
		// as this user.
		s.logger.Warn("the plugin's directory cannot be given to a user of Sockets.AllowUIDs, and keeps its owner", "user", to.uid, "err", err)
		return newSocketDir(parent, owner{uid: -1, gid: -1}, s.target.detach, s.target.runner != nil)
	}
	return d, err
}

// roomOn returns how long the path of the directory may be, in bytes, in which the
// directory for a plugin's sockets is made.
func roomOn(goos string) int {
	return maxSocketPathOn(goos) - len("/"+dirPrefix) - files.NameLength - len("/"+pluginDirName) - maxSocketName
}

// safeParent reports whether nobody else can remove our directory from a directory that
// the user has not chosen, and whether others can enter it if they have to.
func safeParent(path string, others bool) bool {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() || !files.Trusted(info) {
		return false
	}
	if others && info.Mode()&0o001 == 0 {
		return false
	}
	return info.Mode()&0o022 == 0 || info.Mode()&fs.ModeSticky != 0
}

// dirTooLongError reports that a directory's name leaves no room for sockets.
type dirTooLongError struct {
	path string
	room int
}

func (e *dirTooLongError) Error() string {
	return fmt.Sprintf("the directory %q has a name of %d bytes; at most %d leave room for the paths of sockets in it", e.path, len(e.path), e.room)
}

// badPathError reports that a directory's name cannot be sent to a peer.
type badPathError struct {
	path string
	char byte
}

func (e *badPathError) Error() string {
	return fmt.Sprintf("the directory %q has a %q in its name, which the protocol's handshake cannot carry", e.path, e.char)
}

// dirHint returns what to do about a directory that could not be made.
func (s *settings) dirHint(err error) string {
	where := "TMPDIR"
	if s.sockets.TempDir != "" {
		where = "Config.Sockets.TempDir"
	}
	tooLong, bad := (*dirTooLongError)(nil), (*badPathError)(nil)
	switch {
	case errors.As(err, &tooLong):
		return "set " + where + " to a directory with a short name, such as /tmp"
	case errors.As(err, &bad):
		return "set " + where + " to a directory with another name, such as /tmp"
	case errors.Is(err, files.ErrUmask):
		return "start this host with another umask, such as 0077"
	case s.sockets.gid != nil && errors.Is(err, fs.ErrPermission):
		return "this host's user must be in the group of Config.Sockets.Group"
	}
	return "check that the directory for temporary files (" + where + ") is there and can be written to"
}

// dirNeeded reports whether Config asks for the directory, so that it is an error if it
// cannot be made. Other plugins may serve on TCP, or have their sockets elsewhere.
func (s *settings) dirNeeded() bool { return s.sockets.gid != nil || s.sockets.TempDir != "" }

// addDirHint adds to the error of a Start that there was no directory for the plugin's
// sockets, which may be why it failed.
func (c *Client) addDirHint(e *StartError) {
	if c.dirErr == nil || e.Stage != StageLaunch && e.Stage != StageHandshake {
		return
	}
	hint := fmt.Sprintf("there is no directory for the plugin's sockets: %v; %s", c.dirErr, c.settings.dirHint(c.dirErr))
	if e.Hint != "" {
		hint = e.Hint + "; " + hint
	}
	e.Hint = hint
}
