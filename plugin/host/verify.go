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

// Verifier decides whether a plugin may be started. r reads the plugin's file, and name
// is its path as given by Config.Cmd. An error refuses the plugin; so does returning
// nil without having read r to its end, because the Verifier cannot have seen all that
// would be executed. Reading fails when ctx ends: ctx is Start's, bounded by
// StartTimeout. Several Starts may call a Verifier at once. If the error, or one that
// it wraps, has a method Hint() string, its result becomes StartError.Hint. Package
// verify makes Verifiers.
//
// r does not read the file at name but a private copy of it, and this copy is what is
// executed. So it does not matter if the file changes in the meantime.
//
//   - On Linux, a binary (ELF) is copied to memory and sealed there before it is
//     verified. From then on nobody can change it, not even the same user or root. It
//     is executed by its descriptor, and takes as much memory as it has bytes until the
//     plugin ends.
//   - Everything else (scripts, other systems, kernels that do not allow memory to be
//     executed) is copied to a new directory of this user, mode 0700, with mode 0500,
//     and removed with the plugin. Other users cannot change it; programs of the same
//     user can, as they can change this process. Windows has no such modes: there, the
//     permissions of the user's directory for temporary files apply.
//
// The plugin then sees another path than its own: os.Executable returns "/memfd:" and
// the file's name on Linux, or the copy's path. The plugin cannot use it to find what
// was installed beside it, nor libraries by $ORIGIN. argv[0] is what Cmd.Args says, as
// always. On Linux, the name in process lists is a number. Set-user-id bits and file
// capabilities are not copied. A script's interpreter is not verified, nor is anything
// that script or interpreter reads later.
type Verifier func(ctx context.Context, name string, r io.Reader) error

// verified is the copy of a plugin's file that a Verifier has accepted, or is about to
// check.
type verified struct {
	file *os.File   // open for reading; if it is sealed, it is what is executed
	path string     // the private copy's; "" if file is sealed
	dir  *files.Dir // the directory of that copy; held
}

// verify copies the plugin's file and checks the copy with Config.Verify.
func (c *Client) verify(ctx context.Context) error {
	s := c.settings
	if s.target.recipe.err != nil {
		return nil // launching reports what is wrong
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

// judge calls the Verifier with the copy.
func (v *verified) judge(ctx context.Context, verify Verifier, name string) error {
	info, err := v.file.Stat()
	if err != nil {
		return &problem{stage: StageVerify, err: err}
	}
	// The descriptor's own offset is not used: all descriptors of the same open file
	// share it.
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

// verifyHint returns the hint of the Verifier's error. The hint may quote the plugin.
func verifyHint(err error) string {
	var e interface{ Hint() string }
	if !errors.As(err, &e) {
		return ""
	}
	return wire.Printable(e.Hint(), maxErrorText)
}

// copyPlugin copies the file at path. The copy is not verified yet.
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
		// An interpreter or loader has to read it by its path, when the descriptor is
		// already closed.
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
	// Without O_NONBLOCK, opening a pipe would wait for its other end.
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
	if !files.HasModes {
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
// A file that is open for writing cannot be executed. A process that another goroutine
// starts in the meantime would inherit the descriptor and hold it until it executes its
// own program. So no process is started while the file is open. The source is an open
// file, and nothing in between calls other code.
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
	// Only plain reads and writes: if it saw more methods, io.Copy would use
	// shortcuts of the system.
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

// isELF reports whether the copy is a binary that the kernel executes directly.
func (v *verified) isELF() bool {
	magic := make([]byte, len(elfMagic))
	_, err := v.file.ReadAt(magic, 0)
	return err == nil && string(magic) == elfMagic
}

const elfMagic = "\x7fELF"

// use makes cmd execute the copy. Once cmd is started, done frees what that needed.
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
