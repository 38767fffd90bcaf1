package h2

// ping queues a PING; the reader calls onAck when it is answered. c.mu is held.
func (c *Conn) ping(onAck func()) {
	c.pings.seq++
	var data [8]byte
	for i := range data {
		data[i] = byte(c.pings.seq >> (8 * i))
	}
	c.pings.onAck[data] = onAck
	c.out.pending = appendPing(c.out.pending, 0, data)
}

// Ping sends a PING. When it is answered, the goroutine that reads calls onAck, which
// must not wait.
func (c *Conn) Ping(onAck func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.phase < closing {
		c.ping(onAck)
		c.flushLocked()
		c.wantReader()
	}
}
