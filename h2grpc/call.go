package h2grpc

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/internal/ctxkey"
	"github.com/tenonrpc/tenon/h2grpc/internal/h2"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/wire"
)

// headCache keeps the fixed part of request heads, one for each method, so that calls
// need not build it.
type headCache struct {
	m  atomic.Pointer[map[string]*h2.Block] // replaced, never changed
	mu sync.Mutex                           // held to replace it
}

func (c *headCache) get(key string) *h2.Block {
	if m := c.m.Load(); m != nil {
		return (*m)[key]
	}
	return nil
}

func (c *headCache) add(key string, b *h2.Block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := map[string]*h2.Block{key: b}
	if m := c.m.Load(); m != nil && len(*m) < headCacheCap {
		maps.Copy(next, *m)
	}
	c.m.Store(&next)
}

// requestHead returns the fixed part of the request heads of a method. compressor is
// "" for none.
func (cc *ClientConn) requestHead(method, compressor string) (*h2.Block, error) {
	key := method
	if compressor != "" {
		key += " " + compressor
	}
	if b := cc.heads.get(key); b != nil {
		return b, nil
	}
	if !isFullMethod(method) {
		return nil, status.Errorf(codes.Internal, "malformed method name %.200q: it must have the form /package.Service/Method, in printable ASCII", method)
	}
	scheme := "http"
	if cc.tls != nil {
		scheme = "https"
	}
	// gRPC's PROTOCOL-HTTP2 document, "Requests": pseudo-header fields first.
	b := &h2.Block{Key: key, Fixed: []h2.Field{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: scheme},
		{Name: ":path", Value: method},
		{Name: ":authority", Value: cc.cfg.Authority},
		{Name: "te", Value: "trailers"},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "user-agent", Value: cc.userAgent},
	}}
	if compressor != "" {
		b.Fixed = append(b.Fixed, h2.Field{Name: "grpc-encoding", Value: compressor})
	}
	if cc.accept != "" {
		b.Fixed = append(b.Fixed, h2.Field{Name: "grpc-accept-encoding", Value: cc.accept})
	}
	cc.heads.add(key, b)
	return b, nil
}

// call is the common part of unary and streaming calls on a client.
type call struct {
	cc       *ClientConn
	ctx      context.Context
	opts     callOptions
	fixed    *h2.Block
	compress Compressor
	observer *observer
	maxSend  limit
	maxRecv  int
	pairs    []h2.Field // the metadata to send
	block    h2.Block   // the head, unless it is fixed alone
	timeout  [9]byte    // room for grpc-timeout: eight digits and a unit
	urgent   bool       // the deadline is near

	tr  *clientTransport
	s   atomic.Pointer[h2.Stream] // replaced if the call is retried
	got h2.Whole                  // the result of a unary call that has ended
	// The response's head, once it has been checked.
	checked    bool
	decompress Compressor
}

// begin checks everything that can be checked before anything is sent.
func (c *call) begin(cc *ClientConn, ctx context.Context, method string, opts []CallOption) error {
	c.cc, c.ctx = cc, ctx
	for _, o := range opts {
		o.apply(&c.opts)
	}
	if err := ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	var err error
	if c.compress, err = findCompressor(cc.cfg.Compressors, c.opts.compressor); err != nil {
		return status.Errorf(codes.Internal, "UseCompressor: %v", err)
	}
	name := ""
	if c.compress != nil {
		name = c.compress.Name()
	}
	if c.fixed, err = cc.requestHead(method, name); err != nil {
		return err
	}
	c.maxSend, c.maxRecv = cc.maxSend, limitOr(c.opts.maxRecv, cc.engine.MaxMessage)
	if c.opts.maxSend != 0 {
		c.maxSend = limit{limitOr(c.opts.maxSend, 0), "MaxCallSendMsgSize of the call"}
	}
	if ctx.Value(ctxkey.Outgoing{}) != nil {
		return c.addMetadata()
	}
	return nil
}

// addMetadata collects the metadata to send.
func (c *call) addMetadata() error {
	var err error
	for k, v := range metadata.Outgoing(c.ctx) {
		if c.pairs, err = appendPair(c.pairs, k, v); err != nil {
			return status.Error(codes.Internal, err.Error())
		}
	}
	return nil
}

// head returns the request's header block.
func (c *call) head() (*h2.Block, error) {
	deadline, has := c.ctx.Deadline()
	if !has && len(c.pairs) == 0 {
		return c.fixed, nil
	}
	c.block = h2.Block{Key: c.fixed.Key, Fixed: c.fixed.Fixed, Extra: c.pairs}
	if has {
		left := time.Until(deadline)
		if left <= 0 {
			return nil, status.FromContextError(context.DeadlineExceeded).Err()
		}
		c.urgent = left < urgentCall
		c.block.Timeout = wire.AppendTimeout(c.timeout[:0], left)
	}
	return &c.block, nil
}

// open sends the request's head, and message unless it is nil. It tries other
// connections as long as nothing was sent.
func (c *call) open(message *h2.Buffer, end, whole bool) error {
	for try := 0; ; try++ {
		tr, err := c.cc.readyTransport(c.ctx, c.opts.waitForReady)
		if err != nil {
			return err
		}
		head, err := c.head()
		if err != nil {
			return err
		}
		f := h2.Frames{Header: head, End: end}
		if message != nil {
			f.Message, f.From = message.B, message
		}
		s, err := tr.Open(c.ctx.Done(), &f, whole, c.maxRecv)
		if err == nil {
			c.tr = tr
			c.s.Store(s)
			for _, p := range c.opts.peers {
				*p = tr.peer
			}
			if c.observer != nil {
				md, _ := metadata.FromOutgoingContext(c.ctx)
				c.observer.headers(DirectionSent, md)
			}
			return nil
		}
		var lost *h2.ConnError
		if !errors.Is(err, h2.ErrGoingAway) && !errors.Is(err, h2.ErrClosed) && !errors.As(err, &lost) {
			return engineStatus(c.ctx, err).Err()
		}
		if try == openTries {
			return &notSentError{engineStatus(c.ctx, err).Err()}
		}
	}
}

// response returns what has been received so far, without messages.
func (c *call) response() h2.Response {
	if c.got.Err != nil {
		return c.got.Response
	}
	return c.s.Load().Response()
}

// retryable reports whether the server certainly did not process the stream: gRFC A6,
// "transparent retries".
func (c *call) retryable(err error) bool {
	if reset, ok := errors.AsType[*h2.ResetError](err); ok {
		return !reset.Local && reset.Code == h2.ErrCodeRefusedStream && c.response().Head == nil
	}
	lost, ok := errors.AsType[*h2.ConnError](err)
	return ok && lost.Unprocessed
}

// end returns the status of a call whose receiving side ended with err. A complete
// response counts, even if the context of the call has ended meanwhile.
func (c *call) end(err error, eof bool) *status.Status {
	switch {
	case eof:
	case c.ctx.Err() != nil:
		return status.FromContextError(c.ctx.Err())
	default:
		return engineStatus(c.ctx, err)
	}
	st := responseStatus(c.response(), c.cc.engine.MaxHeaderList)
	if st.Code() == codes.Canceled && deadlinePassed(c.ctx) {
		return status.FromContextError(context.DeadlineExceeded)
	}
	return st
}

// checkHead checks the response's head before the first message is decoded.
func (c *call) checkHead() error {
	if c.checked {
		return nil
	}
	h := c.response().Head
	if h == nil {
		return status.Error(codes.Internal, "received a message before the response's headers")
	}
	c.checked = true
	c.observer.received(h)
	name, _ := h.Get("grpc-encoding")
	var err error
	if c.decompress, err = findCompressor(c.cc.cfg.Compressors, name); err != nil {
		return status.Errorf(codes.Internal, "the server uses a compression that it was not offered: %v", err)
	}
	return nil
}

// headEnded reports the headers of a response without messages.
func (c *call) headEnded() {
	if c.observer != nil && !c.checked {
		c.observer.received(c.response().Head)
	}
}

// decode decodes a received message into m and releases buf.
func (c *call) decode(buf *h2.Buffer, m any) error {
	size := wireSize(buf)
	inflated := c.cc.inflated
	if c.opts.maxRecv != 0 {
		inflated = limit{c.maxRecv, clientRecvField}
	}
	plain, err := decode(c.ctx, buf, m, inflated, c.decompress, c.tr.slots)
	if err == nil {
		c.observer.message(DirectionReceived, plain, size)
	}
	return err
}

// headers returns the metadata in the headers of the response.
func (c *call) headers() (metadata.MD, error) {
	r := c.response()
	if r.Head == nil || r.TrailersOnly {
		return nil, nil
	}
	return toMD(r.Head, "content-type")
}

func (c *call) trailers() (metadata.MD, error) {
	r := c.response()
	if r.TrailersOnly {
		return toMD(r.Head)
	}
	return toMD(r.Trailer)
}

// mapError applies ClientConfig.MapError to the error of a call.
func (c *call) mapError(err error) error { return c.cc.mapError(err) }

func (cc *ClientConn) mapError(err error) error {
	if err != nil && cc.cfg.MapError != nil {
		return cc.cfg.MapError(err)
	}
	return err
}

// Invoke performs a unary call; see [ClientConnInterface]. Its error is a status
// error, unless MapError or an interceptor replaced it. After an error the content of
// reply is undefined.
func (cc *ClientConn) Invoke(ctx context.Context, method string, args, reply any, opts ...CallOption) error {
	if len(cc.cfg.UnaryInterceptors) == 0 || exempts(cc.cfg.Exempt, method) {
		return cc.invoke(ctx, method, args, reply, opts...)
	}
	return cc.invokeThrough(cc.cfg.UnaryInterceptors)(ctx, method, args, reply, cc, opts...)
}

func (cc *ClientConn) invokeThrough(rest []UnaryClientInterceptor) UnaryInvoker {
	return func(ctx context.Context, method string, args, reply any, _ *ClientConn, opts ...CallOption) error {
		if len(rest) == 0 {
			return cc.invoke(ctx, method, args, reply, opts...)
		}
		return rest[0](ctx, method, args, reply, cc, cc.invokeThrough(rest[1:]), opts...)
	}
}

func (cc *ClientConn) invoke(ctx context.Context, method string, args, reply any, opts ...CallOption) error {
	c := calls.Get().(*call)
	if cc.cfg.Stats != nil && !exempts(cc.cfg.Exempt, method) {
		c.observer = observe(ctx, cc.cfg.Stats, CallInfo{Method: method, Client: true})
		ctx = c.observer.ctx
	}
	err := cc.mapError(c.unary(cc, ctx, method, args, reply, opts))
	c.observer.end(err)
	if s := c.s.Load(); s != nil {
		s.ForgetHeaders()
		s.Recycle()
	}
	*c = call{}
	calls.Put(c)
	return err
}

// calls holds finished calls for reuse.
var calls = sync.Pool{New: func() any { return new(call) }}

// unary performs a unary call, at most twice.
func (c *call) unary(cc *ClientConn, ctx context.Context, method string, args, reply any, opts []CallOption) error {
	if err := c.begin(cc, ctx, method, opts); err != nil {
		return err
	}
	for try := 0; ; try++ {
		msg, err := c.sendRequest(args)
		if err != nil {
			return err
		}
		again, err := c.unaryReply(reply)
		msg.Release()
		if again && try == 0 {
			continue
		}
		return err
	}
}

// sendRequest opens the stream with its only message. The message is not kept for
// another try: if it is too large for its buffer to be reused, it would be in memory
// together with the response. If sendRequest returns the buffer, the caller releases
// it after the response: doing so earlier would free nothing, and with less memory in
// use collections are more frequent, which takes a tenth of a large call's time.
func (c *call) sendRequest(args any) (*h2.Buffer, error) {
	msg, plain, err := encode(args, c.maxSend, c.compress)
	if err != nil {
		return nil, err
	}
	size := len(msg.B)
	err = c.open(msg, true, true)
	if err == nil {
		c.observer.message(DirectionSent, plain, size)
		if msg.Large() {
			return msg, nil
		}
	}
	msg.Release()
	return nil, err
}

// unaryReply waits for the end of a unary call. again reports that the server did not
// process the call.
func (c *call) unaryReply(reply any) (again bool, err error) {
	if c.s.Load().Wait(c.ctx.Done(), !c.urgent) != nil {
		c.s.Load().Reset(h2.ErrCodeCancel, "the call's context ended")
		return false, status.FromContextError(c.ctx.Err()).Err()
	}
	c.got = c.s.Load().Whole()
	if c.got.Message == nil && c.retryable(c.got.Err) {
		err = &notSentError{engineStatus(c.ctx, c.got.Err).Err()}
		c.got = h2.Whole{}
		return true, err
	}
	err = c.unaryResult(reply)
	if len(c.opts.headers)+len(c.opts.trailers) == 0 {
		return false, err
	}
	header, herr := c.headers()
	trailer, terr := c.trailers()
	if err == nil && (herr != nil || terr != nil) {
		err = status.Error(codes.Internal, errors.Join(herr, terr).Error())
	}
	for _, md := range c.opts.headers {
		*md = header
	}
	for _, md := range c.opts.trailers {
		*md = trailer
	}
	return false, err
}

// unaryResult determines the outcome of a unary call.
func (c *call) unaryResult(reply any) error {
	buf, err := c.got.Message, c.got.Err
	if buf == nil {
		c.headEnded()
		eof := isEOF(err)
		st := c.end(err, eof)
		if st.Code() == codes.OK {
			st = status.New(codes.Unimplemented, "the server sent no message; exactly one is required")
		}
		return st.Err()
	}
	if c.got.More {
		buf.Release()
		c.s.Load().Reset(h2.ErrCodeCancel, "more than one message came") // there may be more
		return status.Error(codes.Unimplemented, "the server sent more than one message; exactly one is required")
	}
	st := c.end(err, isEOF(err))
	if st.Code() != codes.OK {
		buf.Release()
		return st.Err()
	}
	if err := c.checkHead(); err != nil {
		buf.Release()
		return err
	}
	return c.decode(buf, reply)
}
