package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"

	"github.com/tenonrpc/tenon/plugin/bench/contender"
)

// Main is an agent: it answers requests until there are no more.
func Main(requests io.Reader, responses io.Writer) error {
	a := &agent{}
	defer a.end()
	in, out := json.NewDecoder(requests), json.NewEncoder(responses)
	for {
		var request Request
		if err := in.Decode(&request); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var response Response
		if err := a.do(&request, &response); err != nil {
			response = Response{Err: err.Error()}
		}
		if err := out.Encode(&response); err != nil {
			return err
		}
	}
}

// frugalGC makes the collector run whenever the heap has grown by so many
// percent: then the memory of a process is hardly more than what it needs.
const frugalGC = 5

// agent is used by the goroutine of Main alone.
type agent struct {
	stop    func()         // of a server
	client  *client        // of a client
	profile io.WriteCloser // nil: none is written
}

var errNotBegun = errors.New("agent: this needs a client that has begun")

func (a *agent) do(request *Request, response *Response) (err error) {
	switch request.Do {
	case "begin":
		return a.begin(request)
	case "usage":
		if request.Collect {
			runtime.GC()
		}
		if request.Frugal {
			debug.SetGCPercent(frugalGC)
		}
		response.Usage, err = usage(request.Settle)
		return err
	case "profile":
		return a.writeProfile(request.Profile)
	}
	if a.client == nil {
		return errNotBegun
	}
	switch request.Do {
	case "hold":
		return a.client.hold(request.Streams, request.Conns)
	case "run":
		response.Result, err = a.client.run(request.Load, request.For)
	case "once":
		response.Usage, err = a.client.once(request.Size)
	default:
		err = fmt.Errorf("agent: asked to %q, which is unknown", request.Do)
	}
	return err
}

func (a *agent) begin(request *Request) error {
	if a.stop != nil || a.client != nil {
		return errors.New("agent: it has begun before")
	}
	c, ok := contender.Find(request.Contender)
	if !ok {
		return fmt.Errorf("agent: there is no contender %q", request.Contender)
	}
	config, err := request.Secret.Config()
	if err != nil {
		return err
	}
	if !request.Server {
		a.client = &client{connect: func() (contender.Conn, error) {
			return c.Dial(func(ctx context.Context) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", request.Socket)
			}, config)
		}}
		return a.client.begin()
	}
	l, err := net.Listen("unix", request.Socket)
	if err != nil {
		return err
	}
	if a.stop, err = c.Serve(l, config); err != nil {
		l.Close()
	}
	return err
}

func (a *agent) writeProfile(path string) error {
	if a.profile != nil {
		pprof.StopCPUProfile()
		err := a.profile.Close()
		a.profile = nil
		return err
	}
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		f.Close()
		return err
	}
	a.profile = f
	return nil
}

func (a *agent) end() {
	a.writeProfile("")
	if a.client != nil {
		a.client.end()
	}
	if a.stop != nil {
		a.stop()
	}
}
