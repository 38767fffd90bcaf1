package h2

import "fmt"

// HeaderListError is the error for a header block that is larger than the peer
// accepts: RFC 9113 §6.5.2, SETTINGS_MAX_HEADER_LIST_SIZE.
type HeaderListError struct {
	Size  int // size of the block: name, value and 32 for each field
	Limit int // the peer's limit, or assumedList if it has announced none
}

func (e *HeaderListError) Error() string {
	return fmt.Sprintf("headers of %d bytes are larger than the peer accepts: its MaxHeaderListSize (SETTINGS_MAX_HEADER_LIST_SIZE) is %d", e.Size, e.Limit)
}

// ListSize returns the size of b for SETTINGS_MAX_HEADER_LIST_SIZE.
func (b *Block) ListSize() int {
	n := listSize(b.Fixed) + listSize(b.Extra)
	if b.Timeout != nil {
		n += len(timeoutName) + len(b.Timeout) + 32
	}
	return n
}

// holdHeaders counts the newly decoded block of a response against headersMost until
// ForgetHeaders, and returns head, or as much of it as there is room for. Reader
// only.
func (c *Conn) holdHeaders(s *Stream, head *Head) *Head {
	cost := c.in.dec.cost() - freeHeaders
	if cost <= 0 {
		return head
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// What fields cost beside their text was not known while the block arrived.
	if text := cost - c.in.dec.fieldsCost(); c.table.headerBytes+text > c.headersMost() {
		return head.beginning()
	}
	if had := s.held.Load(); had >= 0 && s.held.CompareAndSwap(had, had+int64(cost)) {
		c.table.headerBytes += cost
	}
	return head
}

// ForgetHeaders is called when the consumer of a client's stream no longer needs the
// headers, which then stop counting.
func (s *Stream) ForgetHeaders() {
	if n := s.held.Swap(forgotten); n > 0 {
		s.c.mu.Lock()
		s.c.table.headerBytes -= int(n)
		s.c.mu.Unlock()
	}
}

// forgotten is the value of Stream.held after ForgetHeaders.
const forgotten = -1

// beginning returns the first fields of h, as many as every call may have.
func (h *Head) beginning() *Head {
	short := &Head{Status: h.Status, TooLarge: true}
	size := len(h.Method) + len(h.Scheme) + len(h.Authority) + len(h.Path)
	if size <= freeHeaders {
		short.Method, short.Scheme, short.Authority, short.Path = h.Method, h.Scheme, h.Authority, h.Path
	}
	for _, f := range h.Fields {
		if size += int(f.Size()); size > freeHeaders {
			break
		}
		short.Fields = append(short.Fields, f)
	}
	return short
}
