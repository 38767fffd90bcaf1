package h2grpc

import (
	"context"
	"errors"
	"reflect"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
	"github.com/tenonrpc/tenon/h2grpc/internal/h2"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/peer"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/wire"
)

// serverConn handles the streams of one connection.
type serverConn struct {
	srv     *Server
	ctx     context.Context // ends with the connection
	peer    *peer.Peer
	backlog backlog
	slots   decodeSlots
	// onReader counts the calls that are running on the reader.
	onReader atomic.Int32
	// saidShort is set once it was logged that the client accepts fewer bytes than a
	// status takes.
	saidShort atomic.Bool
}

// serverCall is one call on the server.
type serverCall struct {
	sc     *serverConn
	s      h2.Stream
	method *method
	refuse *refusal // set if the request is refused
	ctx    callContext
	// observer reports the call, from the start of the handler on.
	observer *observer
	outcome  *status.Status // what was sent; set by the handler's goroutine
	request  *h2.Buffer     // of a unary call, until the handler decodes it

	compressed Compressor // the compressor of the request

	held    bool // it has waited in backlog
	timed   bool // its duration counts for method.typical
	respond bool // responses are compressed like the request

	headerSent bool // guarded by mu
	mu         sync.Mutex
	// guarded by mu
	header, trailer metadata.MD
}

// refusal is the answer to a request that reaches no handler.
type refusal struct {
	http   string // an HTTP status with a body, or "" for 200
	status *status.Status
}

// New makes a call with its stream.
func (sc *serverConn) New() *h2.Stream {
	c := &serverCall{sc: sc}
	c.s.Data = c
	c.ctx.init(c, sc.ctx)
	return &c.s
}

// Open is called when the request's head has arrived. It decides everything that the
// head determines.
func (sc *serverConn) Open(s *h2.Stream) (whole bool) {
	c := s.Data.(*serverCall)
	if m, ok := s.Head.Note.(*method); ok {
		c.method = m
	} else if c.refuse = c.readHead(); c.refuse != nil {
		s.MaxMessage = 0 // nothing reads its body
		return false
	} else if c.ctx.deadline.IsZero() && c.compressed == nil {
		s.Head.Note = c.method // the next call with this head needs no more checks
	}
	return c.method.unary != nil
}

// Opened is called when the call counts as open. It starts the deadline's timer.
func (sc *serverConn) Opened(s *h2.Stream) {
	c := s.Data.(*serverCall)
	if c.refuse == nil && !c.ctx.deadline.IsZero() {
		c.ctx.arm()
	}
}

// Reset is called when the client has cancelled the call or the connection has ended.
func (sc *serverConn) Reset(s *h2.Stream) { s.Data.(*serverCall).ctx.lost() }

// readHead checks the request's head: gRPC's PROTOCOL-HTTP2 document,
// "Requests".
func (c *serverCall) readHead() *refusal {
	h := c.s.Head
	ct, _ := h.Get("content-type")
	hosts := 0
	var timeout, encoding string
	hasTimeout := false
	for i := range h.Fields {
		f := &h.Fields[i]
		switch f.Name {
		case "grpc-timeout":
			timeout, hasTimeout = f.Value, true
		case "grpc-encoding":
			encoding = f.Value
		case "host":
			hosts++
		}
	}
	switch {
	case h.TooLarge:
		return &refusal{"431", status.Newf(codes.ResourceExhausted, "the request's headers are larger than this side accepts: MaxHeaderListSize of the ServerConfig is %d bytes, and %d fields",
			c.sc.srv.engine.MaxHeaderList, h2.HeaderFields(c.sc.srv.engine.MaxHeaderList))}
	case hosts > 1:
		return &refusal{"400", status.New(codes.Internal, "more than one host field")}
	case h.Method != "POST":
		return &refusal{"405", status.Newf(codes.Internal, "the method is %.32q, not POST", h.Method)}
	case !h2.IsGRPC(ct):
		return &refusal{"415", status.Newf(codes.Internal, "the content type is %.100q, not application/grpc", ct)}
	}
	if hasTimeout {
		d, err := wire.ParseTimeout(timeout)
		if err != nil {
			return &refusal{"400", status.Newf(codes.Internal, "malformed grpc-timeout: %v", err)}
		}
		if d <= 0 {
			return &refusal{"", status.FromContextError(context.DeadlineExceeded)}
		}
		c.ctx.deadline = time.Now().Add(d)
	}
	if err := checkBins(h); err != nil {
		return &refusal{"400", status.New(codes.Internal, err.Error())}
	}
	srv := c.sc.srv
	if c.method = srv.methods[h.Path]; c.method == nil {
		if c.method = srv.foreign(h.Path); c.method == nil {
			return &refusal{"", srv.unknown(h.Path)}
		}
	}
	if !isProtoContent(ct) {
		// Its messages would be decoded in the wrong format.
		return &refusal{"", status.Newf(codes.Unimplemented, "the messages' format is %.100q; this server supports application/grpc+proto", ct)}
	}
	var err error
	if c.compressed, err = findCompressor(srv.cfg.Compressors, encoding); err != nil {
		return &refusal{"", status.Newf(codes.Unimplemented, "the request is compressed with %.64q; this server supports %s", encoding, srv.accept)}
	}
	if c.compressed != nil {
		accepts, _ := h.Get("grpc-accept-encoding")
		if listed(accepts, c.compressed.Name()) {
			c.respond = true
		}
	}
	return nil
}

// compressor returns what compresses responses; nil for nothing.
func (c *serverCall) compressor() Compressor {
	if c.respond {
		return c.compressed
	}
	return nil
}

// unknown returns the status for a path that is no registered method.
func (s *Server) unknown(path string) *status.Status {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '/' {
			if _, ok := s.services[path[1:i]]; ok {
				return status.Newf(codes.Unimplemented, "unknown method %.200q of the service %s", path[i+1:], path[1:i])
			}
			return status.Newf(codes.Unimplemented, "unknown service %.200q", path[1:i])
		}
	}
	return status.Newf(codes.Unimplemented, "malformed path %.200q", path)
}

// Ready is called when a unary request is complete, or when a stream begins.
func (sc *serverConn) Ready(s *h2.Stream) {
	c := s.Data.(*serverCall)
	c.running().Add(1)
	switch {
	case c.refuse != nil && c.refuse.http == "":
		// Writing trailers alone never waits.
		c.answerRefused()
	case c.refuse != nil:
		go c.answerRefused()
	case c.method.unary != nil:
		go sc.srv.handleUnary(c)
	default:
		go sc.srv.handleStream(c)
	}
}

// Quick reports whether a unary method's calls have been quick of late; if this call
// is not alone, very quick.
func (sc *serverConn) Quick(s *h2.Stream, alone bool) bool {
	c := s.Data.(*serverCall)
	if c.compressed != nil || !fastpath.HandlersOnReader {
		return false
	}
	c.timed = alone
	typical := time.Duration(c.method.typical.Load())
	// A handler that blocked and was left by the reader shows what may happen.
	quick := alone && typical < quickCall || 0 < typical && typical < veryQuickCall && sc.onReader.Load() == 0
	if quick {
		// Before the reader's role can be lost, and the connection end.
		c.running().Add(1)
	}
	return quick
}

// Run handles a unary call on the reader's goroutine.
func (sc *serverConn) Run(s *h2.Stream) {
	sc.onReader.Add(1)
	defer sc.onReader.Add(-1)
	sc.srv.handleUnary(s.Data.(*serverCall))
}

func (m *method) quick() bool { return time.Duration(m.typical.Load()) < quickCall }

// took adds the time since begun to the method's typical time.
func (m *method) took(begun time.Time) {
	was := m.typical.Load()
	m.typical.Store(max(1, was+(int64(min(time.Since(begun), slowCall))-was)/8)) // an update that is lost does not matter
}

// done ends the call, however it went.
func (c *serverCall) done() {
	c.s.Done()
	if c.observer != nil {
		err := c.outcome.Err()
		if lost := c.ctx.Err(); lost != nil && err == nil {
			err = status.FromContextError(lost).Err()
		}
		c.observer.end(err)
	}
	c.ctx.cancel(context.Canceled)
	c.sc.srv.done(c.running())
}

// running returns the counter that counts the call.
func (c *serverCall) running() *atomic.Int64 {
	if c.refuse != nil {
		return &c.sc.srv.running
	}
	return c.method.running
}

func (c *serverCall) answerRefused() {
	defer c.done()
	r := c.refuse
	if r.http == "" {
		c.observe()
		c.finish(r.status)
		return
	}
	if r.http == "405" || r.http == "415" {
		// The client does not speak gRPC.
		done := make(chan struct{})
		timer := time.AfterFunc(refusalWait, func() { close(done) })
		c.s.WaitEnd(done)
		timer.Stop()
	}
	// A client that does not speak gRPC gets an HTTP status and a text to show; one that
	// does finds its status in the same header block.
	text := r.status.Message()
	head := &h2.Block{Key: "refuse " + r.http, Fixed: []h2.Field{
		{Name: ":status", Value: r.http},
		{Name: "content-type", Value: "text/plain; charset=utf-8"},
		{Name: "grpc-status", Value: strconv.Itoa(int(r.status.Code()))},
	}, Extra: []h2.Field{{Name: "grpc-message", Value: string(wire.AppendMessage(nil, text))}}}
	c.s.Write(c.sc.ctx.Done(), &h2.Frames{Header: head, Message: []byte(text), End: true}, h2.FlushNow)
	// The rest of the request is ignored.
	c.s.Reset(h2.ErrCodeNo, "the request was refused")
}

// observe begins to report the call, if Stats is set and the method not exempt.
func (c *serverCall) observe() {
	stats := c.sc.srv.cfg.Stats
	if stats == nil || c.method != nil && c.method.exempt {
		return
	}
	info := CallInfo{Method: c.s.Head.Path}
	if c.method != nil && c.method.stream != nil {
		info.IsClientStream, info.IsServerStream = c.method.stream.ClientStreams, c.method.stream.ServerStreams
	}
	c.observer = observe(&c.ctx, stats, info)
	c.observer.headers(DirectionReceived, c.ctx.incoming())
}

// context returns the context for handlers.
func (c *serverCall) context() context.Context {
	if c.observer != nil {
		return c.observer.ctx
	}
	return &c.ctx
}

// decode decodes a received message into m and releases buf.
func (c *serverCall) decode(buf *h2.Buffer, m any) error {
	size := wireSize(buf)
	plain, err := decode(&c.ctx, buf, m, c.sc.srv.inflated, c.compressed, c.sc.slots)
	if err == nil {
		c.observer.message(DirectionReceived, plain, size)
	}
	return err
}

// handleUnary runs a unary method.
func (s *Server) handleUnary(c *serverCall) {
	if c.sc.backlog.holds(c) {
		return
	}
	defer c.sc.backlog.resume(s)
	defer c.done()
	if c.over() {
		return
	}
	c.observe()
	reply, err := c.callUnary()
	if err != nil {
		c.fail(c.statusOf(err))
		return
	}
	if c.ctx.expired() {
		c.finish(status.FromContextError(context.DeadlineExceeded))
		return
	}
	buf, plain, err := encodeFor(&c.ctx, &c.s, reply, s.maxSend, c.compressor(), nil)
	if err != nil {
		c.finish(status.Convert(err)) // if the stream has ended, only for the observer
		return
	}
	c.send(buf, nil)
	c.observer.message(DirectionSent, plain, len(buf.B))
	buf.Release()
}

// fail ends a call with the status of its handler. A large status counts as an unread
// response until it is read, as the response of a unary call does.
func (c *serverCall) fail(st *status.Status) {
	w := st.Proto()
	n := len(w.Message)
	for _, d := range w.Details {
		n += len(d.Value)
	}
	claim, err := c.s.ReserveStatus(c.ctx.Done(), n)
	if ended := c.ctx.Err(); err != nil && ended != nil {
		st = status.FromContextError(ended)
	}
	c.finish(st) // if the stream has ended, only for the observer
	claim.Drop()
}

// callUnary decodes the request and calls the method. A panic becomes an error.
func (c *serverCall) callUnary() (reply any, err error) {
	defer c.recovered(&err)
	whole := c.s.Whole()
	c.request = whole.Message
	defer c.dropRequest()
	switch {
	case whole.More:
		return nil, status.Error(codes.Unimplemented, "the request has more than one message; exactly one is required")
	case !isEOF(whole.Err):
		return nil, engineStatus(&c.ctx, whole.Err).Err()
	case whole.Message == nil:
		return nil, status.Error(codes.Unimplemented, "the request has no message; exactly one is required")
	}
	if c.timed || c.s.ID/2%timedEach == 0 || !c.method.quick() {
		defer c.method.took(time.Now())
	}
	return c.method.unary(c.method.impl, c.context(), c.decodeRequest, c.unaryInterceptor())
}

// decodeRequest decodes the request of a unary call into m.
func (c *serverCall) decodeRequest(m any) error {
	buf := c.request
	if buf == nil {
		return status.Error(codes.Internal, "the request was decoded twice")
	}
	c.request = nil
	return c.decode(buf, m)
}

func (c *serverCall) dropRequest() {
	if c.request != nil {
		c.request.Release()
		c.request = nil
	}
}

// recovered turns a panic into an error, and logs it with its stack.
func (c *serverCall) recovered(err *error) {
	if p := recover(); p != nil {
		c.sc.srv.cfg.Logger.Error("panic in the handler", "method", c.s.Head.Path, "panic", p, "stack", string(debug.Stack()))
		*err = status.Errorf(codes.Unknown, "panic in the handler: %v", p)
	}
}

// unaryInterceptor joins the interceptors into one. It returns nil if there are none
// for c.
func (c *serverCall) unaryInterceptor() UnaryServerInterceptor {
	s := c.sc.srv
	if len(s.cfg.UnaryInterceptors) == 0 || c.method.exempt {
		return nil
	}
	return func(ctx context.Context, req any, info *UnaryServerInfo, handler UnaryHandler) (any, error) {
		return s.unaryThrough(s.cfg.UnaryInterceptors, info, handler)(ctx, req)
	}
}

func (s *Server) unaryThrough(rest []UnaryServerInterceptor, info *UnaryServerInfo, handler UnaryHandler) UnaryHandler {
	if len(rest) == 0 {
		return handler
	}
	return func(ctx context.Context, req any) (any, error) {
		return rest[0](ctx, req, info, s.unaryThrough(rest[1:], info, handler))
	}
}

// statusOf returns the status of a handler's error.
func (c *serverCall) statusOf(err error) *status.Status {
	if err == nil {
		return nil
	}
	s := c.sc.srv
	if s.cfg.MapError != nil {
		if mapped := s.cfg.MapError(err); mapped != nil {
			err = mapped
		}
	}
	st, ok := status.FromError(err)
	if !ok {
		if isForeignStatus(err) && s.saidForeign.CompareAndSwap(false, true) {
			s.cfg.Logger.Warn("a handler returned a status of another gRPC library, whose code is lost; set ServerConfig.MapError, or use package h2grpc/status",
				"method", c.s.Head.Path, "error", wire.Printable(err.Error(), maxErrorText))
		}
		st = status.FromContextError(err)
	}
	return st
}

// isForeignStatus reports whether err, or an error that it wraps, has the method by
// which gRPC libraries recognize a status, for a type that is not ours.
func isForeignStatus(err error) bool {
	switch e := err.(type) {
	case nil, interface{ GRPCStatus() *status.Status }:
		return false
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), isForeignStatus)
	}
	if _, ok := reflect.TypeOf(err).MethodByName("GRPCStatus"); ok {
		return true
	}
	return isForeignStatus(errors.Unwrap(err))
}

// The fixed part of responses; those with a status are for responses that consist of
// trailers alone.
var (
	headFields    = []h2.Field{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "application/grpc"}}
	headBlock     = h2.Block{Key: "head", Fixed: headFields}
	trailerOK     = h2.Block{Key: "ok", Fixed: []h2.Field{{Name: "grpc-status", Value: "0"}}}
	onlyTrailerOK = h2.Block{Key: "head ok", Fixed: []h2.Field{headFields[0], headFields[1], trailerOK.Fixed[0]}}
)

// takeHead returns the header block that has to precede the next frame, or nil if it
// was taken before.
func (c *serverCall) takeHead() *h2.Block {
	c.mu.Lock()
	if c.headerSent {
		c.mu.Unlock()
		return nil
	}
	c.headerSent = true
	b, md := c.head(), c.header
	c.mu.Unlock()
	c.observer.headers(DirectionSent, md)
	return b
}

// headRefused records that the headers were too large for the client, so that the
// status is sent without them.
func (c *serverCall) headRefused() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headerSent, c.header = false, nil
}

// head returns the response's header block.
func (c *serverCall) head() *h2.Block {
	if len(c.header) == 0 && !c.respond {
		return &headBlock
	}
	b := headBlock
	if c.respond {
		b.Extra = append(b.Extra, h2.Field{Name: "grpc-encoding", Value: c.compressed.Name()})
	}
	b.Extra, _ = appendMD(b.Extra, c.header) // SetHeader has checked it
	return &b
}

// finish ends the call with a status. If no headers were sent before, headers and
// trailers are sent as one block.
func (c *serverCall) finish(st *status.Status) { c.send(nil, st) }

// send sends the only or last message, unless msg is nil, and the status.
func (c *serverCall) send(msg *h2.Buffer, st *status.Status) {
	c.outcome = st
	f := h2.Frames{End: true, Last: true, Reader: c.refuse != nil && c.refuse.http == ""}
	if msg != nil {
		f.Message, f.From = msg.B, msg
	}
	c.mu.Lock()
	sent := c.headerSent
	c.headerSent = true
	trailer, header := c.trailer, c.header
	c.mu.Unlock()
	if !sent {
		c.observer.headers(DirectionSent, header)
	}
	switch {
	case msg != nil && !sent:
		f.Header = c.head()
		f.Trailer = trailerBlock(&trailerOK, st, trailer, nil)
	case sent:
		f.Trailer = trailerBlock(&trailerOK, st, trailer, nil)
	default:
		f.Trailer = trailerBlock(&onlyTrailerOK, st, trailer, header)
		if c.refuse != nil && st.Code() == codes.Unimplemented {
			f.Trailer.Extra = append([]h2.Field{{Name: "grpc-accept-encoding", Value: c.sc.srv.accept}}, f.Trailer.Extra...)
		}
	}
	err := c.s.Write(c.sc.ctx.Done(), &f, h2.FlushNow)
	if list := isListError(err); list != nil {
		c.sendShort(&f, !sent && (msg == nil || f.Header != nil), st, trailer, header, list)
	}
}

// trailerBlock returns the block that carries st: ok itself if there is nothing to
// add.
func trailerBlock(ok *h2.Block, st *status.Status, trailer, header metadata.MD) *h2.Block {
	w := st.Proto()
	if w.Code == 0 && len(trailer) == 0 && len(header) == 0 {
		return ok
	}
	b := &h2.Block{Key: ok.Key, Fixed: ok.Fixed}
	if w.Code != 0 {
		code := strconv.FormatUint(uint64(uint32(w.Code)), 10)
		fixed := append([]h2.Field(nil), ok.Fixed[:len(ok.Fixed)-1]...)
		b.Key += code
		b.Fixed = append(fixed, h2.Field{Name: "grpc-status", Value: code})
	}
	b.Extra = statusFields(w)
	b.Extra, _ = appendMD(b.Extra, header) // they were checked when they were set
	b.Extra, _ = appendMD(b.Extra, trailer)
	return b
}

// statusFields returns the fields of message and details: gRPC's PROTOCOL-HTTP2
// document, "Responses".
func statusFields(w status.Proto) (fields []h2.Field) {
	if w.Code == 0 {
		return nil
	}
	if w.Message != "" {
		fields = append(fields, h2.Field{Name: "grpc-message", Value: string(wire.AppendMessage(nil, w.Message))})
	}
	if len(w.Details) > 0 {
		if raw, err := w.AppendTo(nil); err == nil {
			fields = append(fields, h2.Field{Name: "grpc-status-details-bin", Value: string(wire.AppendBin(nil, string(raw)))})
		}
	}
	return fields
}

// listed reports whether a comma-separated list contains name.
func listed(list, name string) bool {
	for more := true; more; {
		var v string
		if v, list, more = strings.Cut(list, ","); strings.TrimSpace(v) == name {
			return true
		}
	}
	return false
}
