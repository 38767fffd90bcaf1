package host

import (
	"bytes"
	"io"

	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
	"github.com/tenonrpc/tenon/wire"
)

// firstLine is the beginning of a plugin's stdout up to its first newline.
type firstLine struct {
	text     []byte
	complete bool // a newline ended it, not the end of stdout or the limit
}

// readStdout reads the process's stdout to its end, whatever happens: the first line is
// for Start, the rest for the application. A plugin whose stdout is not read would
// block at some point.
func (p *process) readStdout(out *outputs) {
	defer close(p.stdoutDone)
	var (
		head []byte // the first line, until it is delivered
		rest io.Writer
		buf  = make([]byte, pipeRead)
	)
	deliver := func(complete bool) {
		p.line <- firstLine{head, complete}
		head = nil
		if rest = out.process(); rest == nil {
			rest = &lineWriter{emit: func(line []byte) {
				p.log.Debug(wire.Printable(string(line), maxMessage), "stream", "stdout")
			}}
		}
	}
	for {
		n, err := p.stdout.Read(buf)
		data := buf[:n]
		p.stdoutTail.Write(data)
		if rest == nil {
			end := bytes.IndexByte(data, '\n')
			switch {
			case end >= 0:
				head = append(head, data[:end]...)
				data = data[end+1:]
				deliver(true)
			case len(head)+len(data) > hostwire.MaxHandshakeLine:
				head = append(head, data...)
				data = nil
				deliver(false)
			default:
				head = append(head, data...)
				data = nil
			}
		}
		if rest != nil {
			rest.Write(data)
		}
		if err != nil {
			if rest == nil {
				deliver(false)
			}
			if lines, ok := rest.(*lineWriter); ok {
				lines.flush()
			}
			return
		}
	}
}

// lineWriter splits what is written to it into lines and passes each to emit, without
// its line end. Lines over maxLogLine are passed on in pieces. emit must not keep its
// argument.
type lineWriter struct {
	emit func(line []byte)
	part []byte // the beginning of a line whose end has not come yet
}

func (w *lineWriter) Write(data []byte) (int, error) {
	n := len(data)
	for len(data) > 0 {
		piece, rest, whole := bytes.Cut(data, []byte{'\n'})
		if room := maxLogLine - len(w.part); len(piece) > room {
			piece, rest, whole = data[:room], data[room:], true
		}
		data = rest
		w.part = append(w.part, piece...)
		if whole {
			w.emit(bytes.TrimSuffix(w.part, []byte{'\r'}))
			w.part = w.part[:0]
		}
	}
	return n, nil
}

// flush passes on a last line that has no end.
func (w *lineWriter) flush() {
	if len(w.part) > 0 {
		w.emit(w.part)
		w.part = nil
	}
}
