package h2

// ping queues a PING; onAck is called by the reader with the answer.
func (c *Conn) ping(onAck func()) {
	c.pings.seq++
	var data [8]byte
	for i := range data {
		data[i] = byte(c.pings.seq >> (8 * i))
	}
	c.pings.onAck[data] = onAck
	c.out.pending = appendPing(c.out.pending, 0, data)
}

// Ping sends a PING and calls onAck, on the goroutine that reads, when it is
// answered. onAck must not wait.
func (c *Conn) Ping(onAck func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.phase < closing {
		c.ping(onAck)
		c.flushLocked()
		c.wantReader()
	}
}
