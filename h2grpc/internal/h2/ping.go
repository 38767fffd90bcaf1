package h2

// ping queues a PING; onAck is called by the reader with the answer.
func (c *Conn) ping(onAck func()) {
	c.pingSeq++
	var data [8]byte
	for i := range data {
		data[i] = byte(c.pingSeq >> (8 * i))
	}
	c.onPing[data] = onAck
	c.pending = appendPing(c.pending, 0, data)
}

// Ping sends a PING and calls onAck, on the reader goroutine, when it is
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
