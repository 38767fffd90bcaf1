package h2

import "github.com/tenonrpc/tenon/wire"

// Messages of a busy stream come many at once. They are handed over together: what
// is done for each frame and for each message alone, such as taking locks and
// waking the consumer, costs more than a small message itself.

// more reads the DATA frames of the same stream that are at hand after one that
// did not end it, as long as nothing is unusual about them and the windows allow
// them; room is what is left of these. It says whether the last one ended the
// stream. The caller delivers the messages.
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

// packWhole puts those whole small messages into the frame's list that b begins
// with, and returns how many bytes they are.
func (a *assembler) packWhole(s *Stream, b []byte) (n int) {
	for {
		flag, size, err := wire.ParsePrefix(b[n:])
		end := n + prefixLen + int(size)
		if err != nil || size > packSize/2 || int(size) > s.MaxMessage || end > len(b) {
			return n // assemble knows what to do with it
		}
		a.ready.packBytes(b[n:end], flag == 1)
		n = end
	}
}
