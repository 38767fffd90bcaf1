// Package h2 is the connection engine: HTTP/2 (RFC 9113) as gRPC uses it, for
// both ends of a connection. Frames are read and written here; header blocks are
// compressed by x/net's hpack.
//
// It handles frames, flow control, header blocks and gRPC's five-byte message prefix,
// and knows nothing of methods, statuses or codecs.
//
// A connection is made of parts, each a struct that owns its fields (parts.go): its
// life, the reader's role, the inbox, the table of streams, what either side may
// send, the outbox, the ledger of large messages. Calls between the files go
// downwards, except for a handful, which make audit lists.
//
// How a frame is handled:
//
//	reader.go        one goroutine at a time reads: one of Conn.run, or a call or a
//	                 stream that is alone (role.go)
//	read.go          one switch on the frame's type; whole.go takes an ordinary unary
//	                 request or response at once
//	headerframes.go  header blocks (headers.go, headermemo.go)
//	data.go          messages, put together (burst.go: many at once)
//	table.go         the stream that they are for, or were
//	flow.go          window for what comes next (window.go, ledger.go, account.go)
//	stream.go        the consumer takes them (queue.go)
//
// How a call is sent:
//
//	send.go          opening a stream, and writing to it as far as windows allow
//	reserve.go       room for a message before it is encoded (ledger.go, account.go)
//	encode.go        header blocks
//	write.go         the outbox. There is no writing goroutine: a goroutine with
//	                 something to send appends it, and if none is writing, writes
//	                 what has gathered (output.go, trywrite.go).
//
// A stream is in one of the states of RFC 9113 §5.1, which its two halves determine:
//
//	                 sendHalf.ended is false       sendHalf.ended
//	recvHalf open    open                          half-closed (local)
//	recvHalf.ended   half-closed (remote)          closed: gone from the table
//
// A reset, by either side, ends both halves. Conn.isIdle reports the state idle.
package h2

import (
	"bufio"
	"errors"
	"io"
	"net"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
)

// NewConn starts one end of a connection on nc, on which nothing has been sent yet.
// raw is the socket below nc if nc is a TLS connection on the result of [Raw], and
// otherwise nc itself. The caller must call Run.
func NewConn(nc net.Conn, raw net.Conn, cfg Config) *Conn {
	c := &Conn{
		nc:     nc,
		raw:    raw,
		cfg:    cfg,
		client: cfg.Handler == nil,
		done:   make(chan struct{}),
		ready:  make(chan struct{}),
		in: inbox{
			br:       bufio.NewReaderSize(nc, readBuffer),
			maxFrame: defaultMaxFrame,
			dec:      newHeaderDecoder(cfg.MaxHeaderList),
			idleLeft: idleFrames,
		},
		pings: pings{onAck: map[[8]byte]func(){}},
		send: sendFlow{
			enc:      newHeaderEncoder(),
			window:   defaultWindow,
			initial:  defaultWindow,
			maxFrame: defaultMaxFrame,
			maxList:  assumedList,
		},
	}
	c.table.streams, c.table.nextID, c.table.most = map[uint32]*Stream{}, 1, assumedMaxStreams
	c.recv.window, c.recv.initial, c.recv.granted = connWindow, windowFor(0), windowFor(0)
	l := &c.ledger
	l.received, l.sent, l.freed = cfg.Received, cfg.Sent, cfg.Freed
	l.giveUp, l.keepers, l.slots = c.giveUp, c.keepers, make(chan struct{}, sendLeast)
	l.awaits.class, l.awaits.again = received, c.grantAgain
	c.recv.share.Store(int32(windowFor(0)))
	if t, ok := raw.(*tryConn); ok {
		c.out.try = t
	} else if t := newTryConn(raw); t != nil && raw == nc {
		c.out.try, c.nc = t, t
	}
	if c.out.try != nil {
		c.out.try.arm()
	}
	c.role.run, c.role.stoppable = c.run, fastpath.OwnReading && (c.out.try != nil || isPipe(raw))
	c.hello()
	return c
}

// Raw prepares a socket for TLS: the result is passed to package tls and then to
// [NewConn].
func Raw(nc net.Conn) net.Conn {
	if t := newTryConn(nc); t != nil {
		return t
	}
	return nc
}

// hello queues and sends what both ends begin with: RFC 9113 §3.4. SETTINGS are sent
// at once, since grpc-go clients wait for a server's.
func (c *Conn) hello() {
	c.mu.Lock()
	defer c.mu.Unlock()
	set := []setting{{settingInitialWindowSize, uint32(windowFor(0))}}
	if c.cfg.TellHeaderList {
		set = append(set, setting{settingMaxHeaderListSize, uint32(min(c.cfg.MaxHeaderList, maxWindow))})
	}
	if c.client {
		c.out.pending = append(c.out.pending, ClientPreface...)
		set = append(set, setting{settingEnablePush, 0})
	} else {
		set = append(set, setting{settingMaxConcurrentStreams, c.cfg.MaxStreams})
	}
	c.out.pending = appendSettings(c.out.pending, set...)
	c.recv.unacked = 1
	c.out.pending = appendWindowUpdate(c.out.pending, 0, connWindow-defaultWindow)
	c.recv.settings = time.AfterFunc(settingsTimeout, func() {
		c.Abort(ErrCodeSettingsTimeout, "SETTINGS were not acknowledged")
	})
	c.flushLocked()
}

// Ready returns a channel that is closed when the peer's SETTINGS have arrived.
func (c *Conn) Ready() <-chan struct{} { return c.ready }

// Done returns a channel that is closed when the connection and all its streams have
// ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Run reads the connection until it ends, and then ends all its streams. It
// returns the reason, which is nil after an orderly end.
func (c *Conn) Run() error {
	if c.client {
		c.run()
	} else {
		go c.run() // which may run a handler that does not return
	}
	<-c.done
	if err := c.Err(); err != ErrClosed {
		return err
	}
	return nil
}

// run is Run, or the rest of it, on the goroutine that is the reader. It returns
// early when it is no longer the reader.
func (c *Conn) run() {
	err, reader := c.read()
	if !reader {
		return
	}
	defer close(c.done)
	if c.finish(err) {
		c.linger()
	} else if hungUp(err) {
		c.waitIdle(lingerTime) // for the GOAWAY
	}
	c.closeSocket()
	c.mu.Lock()
	c.life.socket = shut
	c.mu.Unlock()
	c.life.closers.Wait()
	c.waitIdle(lingerTime)
}

// finish ends all streams with the reader's error and reports whether a GOAWAY must
// be sent to the peer.
func (c *Conn) finish(err error) (fatal bool) {
	c.mu.Lock()
	c.recv.settings.Stop()
	if c.life.phase == closing && !isAlert(err) {
		err = c.life.reason
	}
	if ce, ok := err.(*ConnError); c.life.told != nil && (!ok || ce.Err != nil) && err != ErrClosed {
		if _, ours := err.(*connFault); !ours {
			err = c.life.told // it says more than a lost connection
		}
	}
	var reason error
	switch e := err.(type) {
	case *connFault:
		fatal = true
		reason = &ConnError{Code: e.code, Local: true, Reason: e.reason}
		c.life.become(closing, reason) // writing releases c.mu: no call may begin meanwhile
		c.sendGoAway(c.table.lastPeer, e.code, e.reason)
		c.flushLocked()
	default:
		reason = err
		if hungUp(err) && c.life.said == nothing {
			// The peer may have closed only its own sending side.
			c.out.pending = appendGoAway(c.out.pending, c.table.lastPeer, ErrCodeNo, "")
			c.flushLocked()
		}
		if err == nil || (err == io.EOF && c.life.phase == draining && len(c.table.streams) == 0) {
			reason = ErrClosed
		} else if _, ok := err.(*ConnError); !ok && err != ErrClosed {
			reason = &ConnError{Err: err}
		}
	}
	c.life.become(closed, reason)
	streams := c.table.streams
	c.table.streams = map[uint32]*Stream{}
	for _, s := range streams {
		s.send.ended, s.gone = true, true
		s.wakeSender()
	}
	c.send.blocked = nil
	c.roomAgain()
	c.recv.waiting = nil
	c.ledger.close()
	for _, ch := range c.table.opening {
		close(ch)
	}
	c.table.opening = nil
	c.mu.Unlock()
	for _, s := range streams {
		s.reader.drop() // its handler may hold it for long
		s.terminate(reason, false)
	}
	return fatal
}

// hungUp reports whether err means that the peer sends nothing more. It may still
// read.
func hungUp(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }

// isAlert reports whether err is a TLS alert of the peer, which gives its reason for
// hanging up where our own failed write does not.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// linger gives the peer time to read our GOAWAY: closing a socket with unread data
// would discard it.
func (c *Conn) linger() {
	deadline := time.Now().Add(lingerTime)
	if !c.waitIdle(lingerTime) {
		return // the peer does not read; CloseWrite of TLS would wait for it too
	}
	if closeWrite(c.nc) != nil {
		return
	}
	c.nc.SetReadDeadline(deadline)
	io.CopyN(io.Discard, c.in.br, lingerBytes)
}
