package h2

import "github.com/tenonrpc/tenon/wire"

// Messages of a busy stream arrive many at once. They are delivered together: the
// work for each single frame and message, such as taking locks and waking the
// consumer, costs more than a small message itself.

// more reads the DATA frames of the same stream that are in the buffer after one that
// did not end it, as long as they are usual and within the windows; room is what is
// left of these. It reports whether the last one ended the stream. The caller
// delivers the messages.
func (c *Conn) more(s *Stream, room int) (end bool, err error) {
	total := 0
	for !end {
		b, _ := c.in.br.Peek(min(frameHeaderLen, c.in.br.Buffered()))
		if len(b) < frameHeaderLen {
			break
		}
		fh := parseFrameHeader(b)
		n := fh.Length
		if fh.Type != FrameData || fh.StreamID != s.ID || fh.Flags&^FlagEndStream != 0 ||
			n == 0 || n > c.in.maxFrame || n > room || frameHeaderLen+n > c.in.br.Buffered() {
			break
		}
		c.in.br.Discard(frameHeaderLen)
		room -= n
		total += n
		s.reader.uncounted += n
		end = fh.Flags.Has(FlagEndStream)
		if err := c.assemble(s, n); err != nil {
			return end, err
		}
	}
	if total > 0 {
		c.mu.Lock()
		c.takeWindow(total)
		c.mu.Unlock()
	}
	return end, nil
}

// packWhole adds the whole small messages at the beginning of b to the frame's list,
// and returns how many bytes they are.
func (a *assembler) packWhole(s *Stream, b []byte) (n int) {
	for {
		flag, size, err := wire.ParsePrefix(b[n:])
		end := n + prefixLen + int(size)
		if err != nil || size > packSize/2 || int(size) > s.MaxMessage || end > len(b) {
			return n // assemble handles it
		}
		a.ready.packBytes(b[n:end], flag == 1)
		n = end
	}
}
