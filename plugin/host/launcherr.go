package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// launchHint returns what to do about a program that could not be started. The
// operating system's errors are terse: "no such file or directory" may be about the
// interpreter of a script that exists.
func launchHint(path string, err error) string {
	switch {
	case errors.Is(err, exec.ErrNotFound) && isPath(path):
		if _, err := os.Stat(path); err == nil {
			return "the file exists, but Windows takes it for a program only if its name ends in .exe, or in another of PATHEXT's endings"
		}
		return missingHint(path, err)
	case errors.Is(err, exec.ErrDot):
		return "the program was found in the current directory, which for safety is not searched; write ./ in front of its name"
	case errors.Is(err, exec.ErrNotFound):
		return "no directory of PATH has a program of that name; give its full path or install it"
	case isNoDirectory(err):
		return "Cmd.Dir does not exist"
	case errors.Is(err, fs.ErrNotExist):
		return missingHint(path, err)
	case errors.Is(err, fs.ErrPermission):
		return permissionHint(path)
	case errors.Is(err, syscall.ENOEXEC), isBadFormat(err):
		return formatHint(path)
	case errors.Is(err, syscall.ETXTBSY):
		return "another process, or this one, has the file open for writing; start the plugin once every writer has closed it"
	case errors.Is(err, syscall.EBADF):
		return "a file of the Cmd is closed; check Stdin and ExtraFiles, and that the host's own stdin is open"
	}
	return ""
}

// isPath reports whether path is more than a name to be searched for in PATH.
func isPath(path string) bool { return filepath.Base(path) != path }

// notThere makes the error wrap fs.ErrNotExist if a path leads nowhere: on Windows
// os/exec has the same error for that and for a name that is in no directory of PATH.
func notThere(path string, err error) error {
	if errors.Is(err, exec.ErrNotFound) && isPath(path) {
		return fmt.Errorf("%w: %w", err, fs.ErrNotExist)
	}
	return err
}

func missingHint(path string, err error) string {
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) && pathErr.Op == "chdir" {
		return "Cmd.Dir does not exist"
	}
	head, readErr := readHead(path)
	if readErr != nil {
		if abs, err := filepath.Abs(path); err == nil && !filepath.IsAbs(path) {
			return fmt.Sprintf("there is no file %q, to which the path leads from here; give the full path, or install the plugin there", abs)
		}
		return "there is no such file; check the path and that the plugin is installed"
	}
	if interpreter, ok := interpreterOf(head); ok {
		return fmt.Sprintf("the file is a script, and its interpreter %s does not exist", quoted(interpreter))
	}
	return "the file exists, but the dynamic loader that it needs does not; build the plugin statically (CGO_ENABLED=0) or for this system's C library"
}

func permissionHint(path string) string {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "the file cannot be reached; check the permissions of the directories above it"
	case info.IsDir():
		return "it is a directory; give the path of the plugin in it"
	case info.Mode().Perm()&0o111 == 0:
		return "the file is not executable; chmod +x makes it so"
	}
	return "the file may not be executed by this user, or its file system is mounted noexec"
}

// formatHint returns why the system cannot execute a file.
func formatHint(path string) string {
	head, err := readHead(path)
	own := runtime.GOOS + "/" + runtime.GOARCH
	if err == nil && len(head) == 0 {
		return "the file is empty"
	}
	for _, format := range []struct{ magic, name string }{
		{"\x7fELF", "an ELF binary (Linux, BSD)"},
		{"MZ", "a Windows binary"},
		{"\xcf\xfa\xed\xfe", "a macOS binary"},
		{"\xca\xfe\xba\xbe", "a macOS universal binary"},
	} {
		if bytes.HasPrefix(head, []byte(format.magic)) {
			return fmt.Sprintf("the file is %s that this machine cannot run; get the plugin for %s", format.name, own)
		}
	}
	return fmt.Sprintf("the file is neither a binary for %s nor a script that names its interpreter; a script must begin with #! and the interpreter's path", own)
}

// headSize is how many bytes of an executable are read to tell what it is: the kernel
// reads this much of a script's first line.
const headSize = 256

// readHead returns the beginning of a regular file.
func readHead(path string) ([]byte, error) {
	// Check before opening: opening a pipe would wait.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fs.ErrInvalid
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, headSize))
}

// interpreterOf returns the interpreter that a script's first line names.
func interpreterOf(head []byte) (string, bool) {
	line, ok := bytes.CutPrefix(head, []byte("#!"))
	if !ok {
		return "", false
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) == 0 {
		return "", true
	}
	return fields[0], true
}
