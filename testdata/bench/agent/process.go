package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// Process is an agent as seen by the one who measures. It is used by one
// goroutine at a time.
type Process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	enc *json.Encoder
	dec *json.Decoder
}

// patience is how long an agent may take to answer, beyond the time that it was
// asked to run for.
const patience = 2 * time.Minute

// Start starts an agent: executable with the arguments args must call Main with
// its standard input and output.
func Start(executable string, args ...string) (*Process, error) {
	cmd := exec.Command(executable, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &Process{cmd, in, json.NewEncoder(in), json.NewDecoder(out)}, nil
}

// Do makes a request. An agent that does not answer in time is killed.
func (p *Process) Do(request *Request) (*Response, error) {
	timeout := time.AfterFunc(request.For+patience, func() { p.cmd.Process.Kill() })
	defer timeout.Stop()
	if err := p.enc.Encode(request); err != nil {
		return nil, fmt.Errorf("asking an agent to %s: %w", request.Do, err)
	}
	var response Response
	if err := p.dec.Decode(&response); err != nil {
		return nil, fmt.Errorf("waiting for an agent to %s: %w", request.Do, err)
	}
	if response.Err != "" {
		return nil, errors.New(response.Err)
	}
	return &response, nil
}

// Usage is Do for a request to say what was used.
func (p *Process) Usage(request Request) (*Usage, error) {
	request.Do = "usage"
	response, err := p.Do(&request)
	if err != nil {
		return nil, err
	}
	return response.Usage, nil
}

// Stop ends the agent.
func (p *Process) Stop() error {
	p.in.Close()
	timeout := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
	defer timeout.Stop()
	return p.cmd.Wait()
}
