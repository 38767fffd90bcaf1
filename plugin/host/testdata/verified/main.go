// Command verified is started as a plugin by the tests of verification. It ends
// at once. Built with Evil set, it leaves the file that its argument names: a
// program that must never run.
package main

import "os"

// Evil is set by the linker.
var Evil string

func main() {
	if Evil != "" {
		os.WriteFile(os.Args[1], nil, 0o600)
	}
}
