package files_test

import (
	"testing"

	"github.com/tenonrpc/tenon/plugin/internal/files"
)

func BenchmarkListen(b *testing.B) {
	parent, err := files.OpenParent(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer parent.Close()
	d, err := parent.Make(files.NewName("d"), 0o700)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("path", func(b *testing.B) {
		for b.Loop() {
			l, err := files.Listen(d.Path(), "s", files.Private(files.SocketMode), nil)
			if err != nil {
				b.Fatal(err)
			}
			l.Close()
		}
	})
	b.Run("directory", func(b *testing.B) {
		for b.Loop() {
			l, err := d.Listen("s", files.Private(files.SocketMode))
			if err != nil {
				b.Fatal(err)
			}
			l.Close()
		}
	})
}
