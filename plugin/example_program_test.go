package plugin_test

import (
	"os"
	"os/exec"
)

// exampleMains are the main functions of the examples' plugins.
var exampleMains = map[string]func(){
	"kv":       kvMain,
	"backup":   backupMain,
	"bytes":    bytesMain,
	"health":   healthMain,
	"limits":   limitsMain,
	"tables":   tablesMain,
	"versions": versionsMain,
}

// exampleCommand returns the command that starts a plugin of the examples: this test
// program, which then calls the function of that name in exampleMains.
func exampleCommand(name string) *exec.Cmd {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), modeVariable+"="+name, "GORACE=atexit_sleep_ms=0")
	return cmd
}
