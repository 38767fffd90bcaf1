//go:build linux

package attack_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// child is a process in one of the roles.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	err bytes.Buffer
}

// start starts a process and waits until it is ready.
func start(role string, o options) (*child, error) {
	c := &child{cmd: exec.Command("/proc/self/exe")}
	c.cmd.Env = append(os.Environ(), roleVariable+"="+role)
	c.cmd.Stderr = &c.err
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	json.NewEncoder(c.in).Encode(o)
	if line, err := c.out.ReadString('\n'); line != "ready\n" {
		c.stop()
		return nil, fmt.Errorf("the %s did not start: %q, %v; its errors: %s", role, line, err, c.err.String())
	}
	return c, nil
}

// stop ends the process by closing its input.
func (c *child) stop() error {
	c.in.Close()
	io.Copy(io.Discard, c.out)
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("%v; its errors: %s", err, tail(c.err.String()))
	}
	return nil
}

func tail(s string) string {
	const most = 4000
	return s[max(0, len(s)-most):]
}

// tell sends a command and returns the answer.
func (c *child) tell(command string) (report, error) {
	var r report
	if _, err := io.WriteString(c.in, command+"\n"); err != nil {
		return r, fmt.Errorf("the process has ended: %w", err)
	}
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		return r, fmt.Errorf("the process has ended: %w", err)
	}
	err = json.Unmarshal(line, &r)
	return r, err
}

// memory returns a line of the process's /proc status in bytes: VmRSS is the resident
// memory, VmHWM its peak.
func (c *child) memory(name string) (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(text), " kB"))
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("there is no %s", name)
}

// forgetPeak resets the peak to the present memory (proc(5), clear_refs).
func (c *child) forgetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", c.cmd.Process.Pid), []byte("5"), 0)
}
