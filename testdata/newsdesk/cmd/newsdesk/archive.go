// This file is what the host lends to filters. You learn here that a callback is
// an interface of the application's, implemented with no word about plugins: package
// desk carries it to them. Read next: main_test.go.

package main

import (
	"context"
	"os"
	"strings"
)

// An archive has the meanings of words. It is not changed once it is read, so that the
// plugins may all ask at once.
type archive map[string]string

// readArchive reads lines of "word: meaning" from a file; "" means none.
func readArchive(name string) (archive, error) {
	if name == "" {
		return nil, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	a := make(archive)
	for line := range strings.Lines(string(text)) {
		if word, meaning, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			a[word] = meaning
		}
	}
	return a, nil
}

// Lookup implements desk.Archive.
func (a archive) Lookup(_ context.Context, word string) (string, error) { return a[word], nil }
