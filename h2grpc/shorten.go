package h2grpc

import (
	"fmt"
	"strings"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/internal/h2"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/wire"
)

// A status is part of a header list, whose size peers limit. The parts of a failed
// call that do not fit are left out: see shortened for the sender, cutStatus for the
// receiver. The code stays as it is, and the text says what is missing.

// sendShort sends the end of a call whose status or metadata exceeds what the client
// accepts. f lacks what was sent; only reports that no headers were sent.
func (c *serverCall) sendShort(f *h2.Frames, only bool, st *status.Status, trailer, header metadata.MD, refused *h2.HeaderListError) {
	ok := &trailerOK
	if only {
		ok = &onlyTrailerOK
	} else {
		header = nil
	}
	if st.Code() == codes.OK {
		// The application would not know that something is missing.
		st = status.Newf(codes.ResourceExhausted, "the response's metadata: %v", refused)
		trailer, header = nil, nil
	}
	if c.sc.saidShort.CompareAndSwap(false, true) {
		c.sc.srv.cfg.Logger.Warn("a call's status or metadata was larger than the client accepts, and was shortened; later ones are not logged",
			"method", c.s.Head.Path, "code", st.Code().String(), "bytes", refused.Size, "MaxHeaderListSize", refused.Limit)
	}
	f.Header, f.Message = nil, nil
	f.Trailer, c.outcome = shortened(ok, st, trailer, header, refused.Limit)
	if isListError(c.s.Write(c.sc.ctx.Done(), f, h2.FlushNow)) != nil { // the client has just lowered its limit
		c.outcome = status.New(st.Code(), "")
		f.Trailer = codeAlone(ok, st.Code())
		c.s.Write(c.sc.ctx.Done(), f, h2.FlushNow)
	}
}

// shortened returns the trailers of a failed call for a client whose limit they
// exceed as a whole, and the status that they carry. It leaves out as little as
// possible: the handler's metadata, or the details if that is not enough, or both, or
// the end of the text as well.
func shortened(ok *h2.Block, st *status.Status, trailer, header metadata.MD, limit int) (*h2.Block, *status.Status) {
	whole := st.Proto()
	fields, _ := appendMD(nil, header)
	fields, _ = appendMD(fields, trailer)
	md := (&h2.Block{Extra: fields}).ListSize()
	details := 0
	for _, d := range whole.Details {
		details += len(d.TypeURL) + len(d.Value)
	}
	var missing []string
	w := whole
	for _, drop := range [...]struct{ details, md bool }{{false, true}, {true, false}, {true, true}} {
		if drop.details && details == 0 || drop.md && md == 0 {
			continue
		}
		w, missing = whole, nil
		t, h := trailer, header
		if drop.details {
			w.Details = nil
			missing = append(missing, fmt.Sprintf("%d bytes of details", details))
		}
		if drop.md {
			t, h = nil, nil
			missing = append(missing, fmt.Sprintf("%d bytes of metadata", md))
		}
		w.Message = whole.Message + cutMark(missing, limit)
		st := status.FromProto(w)
		if b := trailerBlock(ok, st, t, h); b.ListSize() <= limit {
			return b, st
		}
	}
	// Now w has no details, and missing lists what is left out.
	end := func(at int) string {
		return cutMark(append(missing, fmt.Sprintf("the text after byte %d of %d", at, len(whole.Message))), limit)
	}
	text := string(wire.AppendMessage(nil, whole.Message))
	w.Message = end(len(whole.Message)) // no mark is longer than this one
	if room := limit - trailerBlock(ok, status.FromProto(w), nil, nil).ListSize(); room >= 0 {
		w.Message = wire.ParseMessage(text[:cutAt(text, room)])
		w.Message += end(len(w.Message))
		st := status.FromProto(w)
		return trailerBlock(ok, st, nil, nil), st
	}
	return codeAlone(ok, st.Code()), status.New(st.Code(), "")
}

// codeAlone returns the trailers with the code alone, which fit every client.
func codeAlone(ok *h2.Block, code codes.Code) *h2.Block {
	b := *trailerBlock(ok, status.New(code, ""), nil, nil)
	b.Always = true
	return &b
}

// cutMark returns the mark at the end of a cut text: it lists what is missing.
func cutMark(missing []string, limit int) string {
	return fmt.Sprintf("… [cut: %s; the client's MaxHeaderListSize is %d]", strings.Join(missing, ", "), limit)
}

// cutAt returns where to cut an encoded text of which n bytes fit: between two
// characters (gRPC's PROTOCOL-HTTP2 document, "Status-Message").
func cutAt(text string, n int) int {
	n = min(n, len(text))
	inside := func() bool {
		switch {
		case n == len(text):
			return false
		case text[n-1] == '%', n > 1 && text[n-2] == '%': // the digits of an escape follow
			return true
		}
		// Neither between the bytes of a character.
		return text[n] == '%' && text[n+1] >= '8' && text[n+1] <= 'B'
	}
	for n > 0 && inside() {
		n--
	}
	return n
}

// isListError returns the error of a peer that does not accept headers of that size;
// nil if err is another.
func isListError(err error) *h2.HeaderListError {
	list, _ := err.(*h2.HeaderListError)
	return list
}

// cutStatus returns st as the status of a call on a client whose headers exceeded its
// limit.
func cutStatus(st *status.Status, last *h2.Head, limit int) *status.Status {
	if st.Code() == codes.OK {
		return status.New(codes.ResourceExhausted, largeResponse(limit))
	}
	w := st.Proto()
	if last.Cut.Name == "grpc-message" {
		text := last.Cut.Value
		if i := strings.LastIndexByte(text, '%'); i >= 0 && i+3 > len(text) {
			text = text[:i]
		}
		w.Message = strings.TrimRight(wire.ParseMessage(text), "\ufffd") // a part of a character
	}
	w.Message += "… [cut: " + largeResponse(limit) + "]"
	return status.FromProto(w)
}

func largeResponse(limit int) string {
	return fmt.Sprintf("the response's headers are larger than this side accepts: MaxHeaderListSize of the ClientConfig is %d bytes, and %d fields, for all headers that calls have not read", limit, h2.HeaderFields(limit))
}
