package wire_test

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// forbidden are packages of the standard library that would let the codecs do
// more than turn bytes into values.
var forbidden = map[string]string{
	"encoding/json": "it makes every plugin larger",
	"os":            "codecs have no environment and no files",
	"os/exec":       "codecs start nothing",
	"net":           "codecs have no connections",
	"sync":          "codecs have no goroutines",
	"context":       "codecs do not wait",
	"log":           "codecs return what they find",
	"log/slog":      "codecs return what they find",
	"unsafe":        "peer bytes are handled here",
	"testing":       "it would be linked into plugins",
	"crypto/x509":   "certificates are parsed where they are pinned",
}

// allowed are the imports from elsewhere.
var allowed = []string{"google.golang.org/protobuf/encoding/protowire", "github.com/tenonrpc/tenon/wire/fields"}

// TestImports keeps the package to the standard library, protowire and fields.
func TestImports(t *testing.T) {
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		checked++
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(name, "/")
			if strings.Contains(first, ".") && !slices.Contains(allowed, name) {
				t.Errorf("%s imports %s, which is neither of the standard library nor allowed", path, name)
			}
			if reason := forbidden[name]; reason != "" {
				t.Errorf("%s imports %s: %s", path, name, reason)
			}
		}
	}
	if checked == 0 {
		t.Fatal("no files were checked")
	}
}
