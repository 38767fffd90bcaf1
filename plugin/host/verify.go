package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/tenonrpc/tenon/plugin/internal/files"
	"github.com/tenonrpc/tenon/wire"
)

// Verifier says whether a plugin may be started. r is the plugin's file, and
// name its path as Config.Cmd gives it. An error refuses the plugin, and so does
// a Verifier that has not read r to its end: it cannot know all that would be
// executed. Reading fails when ctx ends, which is the one of Start, with its
// StartTimeout. Several Starts may call a Verifier at once. If the error, or one
// that it wraps, has a method Hint() string, that is the StartError's Hint. Package
// verify makes Verifiers.
//
// What r reads is not the file at name but a private copy of it, and this copy
// is what is executed. So it does not matter what becomes of the file in the
// meantime.
//
//   - On Linux, a binary (ELF) is copied to memory and sealed there before it
//     is verified. From then on nobody can change it, not even the same user or
//     root, and it is executed by its descriptor. It takes as much memory as it
//     has bytes until the plugin ends.
//   - Everything else (scripts, other systems, kernels that do not allow memory
//     to be executed) is copied to a new directory of this user's, mode 0700,
//     with mode 0500. It is removed with the plugin. Other users cannot change
//     it; the same user's programs can, as they can change this process. On Windows
//     there are no such modes: the directory for temporary files is the user's own
//     there, and what it lets others do, they may.
//
// The plugin sees another path than its own then: os.Executable returns
// "/memfd:" and the file's name on Linux, or the copy's path. It cannot find
// what was installed beside it in this way, nor libraries by $ORIGIN; argv[0] is
// what Cmd.Args says, as always. The name in process lists is a number on Linux.
// Set-user-id bits and file capabilities are not copied. Of a script the
// interpreter is not verified, nor what either reads later.
type Verifier func(ctx context.Context, name string, r io.Reader) error

// verified is the copy of a plugin's file that a Verifier has accepted, or is to
// judge.
type verified struct {
	file *os.File   // open for reading; sealed means that it is executed itself
	path string     // of a private copy; "" if file is sealed
	dir  *files.Dir // the directory of that copy; held
}

// verify copies the plugin's file and has Config.Verify judge the copy.
func (c *Client) verify(ctx context.Context) error {
	s := c.settings
	if s.target.recipe.err != nil {
		return nil // launching says what is wrong
	}
	path := s.target.recipe.path()
	v, err := copyPlugin(ctx, path, s)
	if err == nil {
		c.verified = v
		err = v.judge(ctx, s.target.verify, path)
	}
	if ctx.Err() != nil && err != nil {
		return problemf(StageVerify, "gave up: %w", context.Cause(ctx))
	}
	return err
}

// judge has the Verifier read the copy.
func (v *verified) judge(ctx context.Context, verify Verifier, name string) error {
	info, err := v.file.Stat()
	if err != nil {
		return &problem{stage: StageVerify, err: err}
	}
	// The descriptor's own offset plays no part: it is shared with the others
	// of the same file.
	all := io.NewSectionReader(v.file, 0, info.Size())
	err = verify(ctx, name, &contextReader{ctx, all})
	if err != nil {
		return &problem{StageVerify, verifyHint(err), err}
	}
	if at, _ := all.Seek(0, io.SeekCurrent); at != info.Size() {
		return &problem{StageVerify,
			"a Verifier must read the file to its end, or it accepts what it has not seen",
			fmt.Errorf("the Verifier accepted the file after %d of its %d bytes", at, info.Size())}
	}
	return nil
}

// verifyHint is what the Verifier's error says of what to do. It may have the
// plugin's words in it.
func verifyHint(err error) string {
	var e interface{ Hint() string }
	if !errors.As(err, &e) {
		return ""
	}
	return wire.Printable(e.Hint(), maxErrorText)
}

// copyPlugin makes the copy of the file at path. It is not verified yet.
func copyPlugin(ctx context.Context, path string, s *settings) (*verified, error) {
	launchProblem := func(err error) error { return &problem{StageLaunch, launchHint(path, err), err} }
	path = wholeName(path)
	src, err := openPlugin(path)
	if err != nil {
		return nil, launchProblem(err)
	}
	defer src.Close()
	if err := executable(path); err != nil {
		return nil, launchProblem(&fs.PathError{Op: "execute", Path: path, Err: err})
	}
	v, err := copySealed(ctx, src, filepath.Base(path))
	if err == nil && !v.isELF() {
		// Others than the kernel have to read it by its path, at a time when
		// the descriptor is closed.
		defer v.close()
		src, err = v.file, errors.ErrUnsupported
	}
	if errors.Is(err, errors.ErrUnsupported) {
		v, err = copyPrivate(ctx, src, filepath.Base(path), s)
	}
	if err != nil {
		return nil, problemf(StageVerify, "copying the plugin: %w", err)
	}
	return v, nil
}

// openPlugin opens a regular file.
func openPlugin(path string) (*os.File, error) {
	// Opening a pipe would wait for its other end otherwise.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "execute", Path: path, Err: fs.ErrPermission}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// copyPrivate copies a plugin to a directory that no other user can write to.
func copyPrivate(ctx context.Context, src io.ReaderAt, name string, s *settings) (v *verified, err error) {
	v = new(verified)
	defer func() {
		if err != nil {
			v.close()
			v = nil
		}
	}()
	mode, outer := fs.FileMode(0o500), fs.FileMode(outerMode)
	if !hasModes {
		mode = 0o700 // without the write bit, which is all there is, it would be harder to remove
	}
	if otherUser(s.target.recipe.cmd.SysProcAttr) {
		// The plugin runs as another user, who may execute the copy and no more.
		mode, outer = 0o555, outerSharedMode
	}
	if v.dir, err = makeHeld(os.TempDir(), outer); err != nil {
		return v, err
	}
	v.path = filepath.Join(v.dir.Path(), name)
	if err := writeCopy(ctx, v.dir, name, mode, src); err != nil {
		return v, err
	}
	v.file, err = v.dir.Open(name)
	return v, err
}

// makeHeld makes a directory that is swept like those for sockets.
func makeHeld(parent string, mode fs.FileMode) (*files.Dir, error) {
	p, err := files.OpenParent(parent)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	for range dirTries {
		d, err := makeOuter(p, files.NewName(dirPrefix), mode)
		if !retryable(err) {
			return d, err
		}
	}
	return nil, files.ErrHeld
}

// writeCopy writes a new file in dir.
//
// A file that is open for writing cannot be executed. A process that another
// goroutine starts in the meantime would inherit the descriptor, and hold it for
// the moment until it executes its own program. So nothing is started as long as
// it is open. The source is a file that was opened, and nothing in between calls
// anyone.
func writeCopy(ctx context.Context, dir *files.Dir, name string, mode fs.FileMode, src io.ReaderAt) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	dst, err := dir.Create(name, os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	if err := copyBytes(ctx, dst, src); err != nil {
		dst.Close()
		return err
	}
	return dst.Close()
}

// copyBytes copies a whole file.
func copyBytes(ctx context.Context, dst io.Writer, src io.ReaderAt) error {
	from := &contextReader{ctx, io.NewSectionReader(src, 0, maxVerified+1)}
	// Only plain reads and writes: with more methods, io.Copy would look for
	// shortcuts of the system's.
	n, err := io.CopyBuffer(struct{ io.Writer }{dst}, from, make([]byte, copySize))
	if err == nil && n > maxVerified {
		err = fmt.Errorf("the file has more than the %d bytes that are verified", int64(maxVerified))
	}
	return err
}

// contextReader fails once ctx has ended.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(b []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(b)
}

// isELF reports whether the copy is a binary that the kernel executes by itself.
func (v *verified) isELF() bool {
	magic := make([]byte, len(elfMagic))
	_, err := v.file.ReadAt(magic, 0)
	return err == nil && string(magic) == elfMagic
}

const elfMagic = "\x7fELF"

// use makes cmd execute the copy. done frees what it needed for that, once it is
// started.
func (v *verified) use(cmd *exec.Cmd) (done func(), err error) {
	if len(cmd.Args) == 0 {
		cmd.Args = []string{cmd.Path}
	}
	var files []*os.File
	for _, stream := range []any{cmd.Stdin, cmd.Stdout, cmd.Stderr} {
		file, _ := stream.(*os.File)
		files = append(files, file)
	}
	path, release, err := v.executionPath(append(files, cmd.ExtraFiles...))
	if err != nil {
		return nil, err
	}
	cmd.Path = path
	return func() {
		release()
		closeFile(v.file) // its memory is freed with the plugin
		v.file = nil
	}, nil
}

// close frees everything.
func (v *verified) close() {
	if v == nil {
		return
	}
	closeFile(v.file)
	if v.dir == nil {
		return
	}
	parent, err := files.OpenParent(filepath.Dir(v.dir.Path()))
	if err != nil {
		v.dir.Close()
		return
	}
	defer parent.Close()
	removeOuter(parent, v.dir)
}
