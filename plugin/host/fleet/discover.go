package fleet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/tenonrpc/tenon/plugin/internal/files"
)

// ErrWorldWritable is wrapped by the error of Discover if any user of the machine could
// replace a plugin.
var ErrWorldWritable = errors.New("any user of this machine can write to it")

// Discover returns the paths of the plugins in a directory: the executable files whose
// names match pattern, in the syntax of path/filepath.Match, such as "app-plugin-*".
// The paths are absolute, without symbolic links, and sorted by the names in the
// directory. On Windows, programs are recognised by their extension .exe, which the
// pattern need not have. Other files, and directories, are left out.
//
// If any user of the machine can change one of the following, Discover returns an error
// that wraps ErrWorldWritable and names it: the directory, a directory above it that
// would let it be replaced, a matching program, or the directory that a symbolic link
// leads to. No plugins are returned then, since somebody may have tampered with them.
// On Windows, permissions are not checked.
//
// Whoever may change a plugin can still do so between this check and its start.
func Discover(dir, pattern string) ([]string, error) {
	// A malformed pattern is an error for every name.
	if _, err := filepath.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("fleet: the pattern %q for plugins: %w", pattern, err)
	}
	if strings.ContainsRune(pattern, filepath.Separator) {
		return nil, fmt.Errorf("fleet: the pattern %q must be for names, not for paths", pattern)
	}
	paths, err := discover(dir, pattern)
	if err != nil {
		return nil, fmt.Errorf("fleet: looking for plugins in %q: %w", dir, err)
	}
	return paths, nil
}

func discover(dir, pattern string) ([]string, error) {
	dir, err := realPath(dir)
	if err != nil {
		return nil, err
	}
	if err := checkDirs(dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, entry := range entries {
		if !matches(pattern, entry.Name()) {
			continue
		}
		path, err := program(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		if path != "" && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// programSuffix is the extension of programs on Windows.
const programSuffix = ".exe"

func matches(pattern, name string) bool {
	if ok, _ := filepath.Match(pattern, name); ok {
		return true
	}
	bare, isProgram := strings.CutSuffix(name, programSuffix)
	ok, _ := filepath.Match(pattern, bare)
	return ok && isProgram && runtime.GOOS == "windows"
}

// program returns the path of the program at path without symbolic links, or "" if the
// file is not a program.
func program(path string) (string, error) {
	target, err := realPath(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil // a link to nothing, or removed just now
	}
	if err != nil {
		return "", err
	}
	info, err := os.Lstat(target)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", nil
	}
	if !files.HasModes {
		if !strings.EqualFold(filepath.Ext(target), programSuffix) {
			return "", nil
		}
		return target, nil
	}
	if info.Mode().Perm()&0o111 == 0 {
		return "", nil
	}
	if info.Mode().Perm()&worldWrite != 0 {
		return "", worldWritable(target, info)
	}
	if filepath.Dir(target) != filepath.Dir(path) {
		if err := checkDirs(filepath.Dir(target)); err != nil {
			return "", err
		}
	}
	return target, nil
}

// realPath returns the absolute path without symbolic links.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// worldWrite is the bit of a mode that lets every user write.
const worldWrite = 0o002

func worldWritable(path string, info fs.FileInfo) error {
	return fmt.Errorf("%q has mode %v: %w, and so choose what this program runs; chmod o-w protects it", path, info.Mode(), ErrWorldWritable)
}

// checkDirs refuses a directory in which any user can put files, and directories above
// it in which any user can replace it. That is not possible where the sticky bit is
// set, as in /tmp.
func checkDirs(dir string) error {
	if !files.HasModes {
		return nil
	}
	for above := false; ; above = true {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%q is not a directory", dir)
		}
		sticky := info.Mode()&fs.ModeSticky != 0
		if info.Mode().Perm()&worldWrite != 0 && !(above && sticky) {
			return worldWritable(dir, info)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		dir = parent
	}
}
