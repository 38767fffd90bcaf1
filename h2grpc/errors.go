package h2grpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/internal/h2"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/wire"
)

// ErrServerClosed is returned by [Server.Serve] and [Server.ServeConn] after
// Shutdown or Close.
var ErrServerClosed = errors.New("h2grpc: server closed")

// ErrRegistered is wrapped by the [RegistrationError] of a service that the server has
// already.
var ErrRegistered = errors.New("it is already registered")

// RegistrationError is a mistake in a call of [Server.RegisterService]. Server.Err,
// Serve and ServeConn return them.
type RegistrationError struct {
	Service string // the full name of the service
	Err     error
}

// Error returns a text with the service and the mistake.
func (e *RegistrationError) Error() string {
	return fmt.Sprintf("h2grpc: registering the service %q: %v", e.Service, e.Err)
}

// Unwrap returns Err.
func (e *RegistrationError) Unwrap() error { return e.Err }

// ErrHandlersRunning is returned, wrapped, by [Server.Close] if handlers are still
// running although their calls have ended.
var ErrHandlersRunning = errors.New("h2grpc: handlers have not returned although their calls have ended")

// NotSent reports whether err is the error of a call that the server certainly did not
// process: there was no connection to send it on, or the server said so, with GOAWAY or
// REFUSED_STREAM. Such a call can be made once more, on another connection, without being
// carried out twice. False means that this is not known. A MapError or an interceptor
// that does not wrap the error hides it.
func NotSent(err error) bool {
	_, ok := errors.AsType[*notSentError](err)
	return ok
}

// notSentError marks a status error for NotSent, and is the same in all else.
type notSentError struct{ error }

func (e *notSentError) Unwrap() error              { return e.error }
func (e *notSentError) GRPCStatus() *status.Status { return status.Convert(e.error) }

// doingError is the error of an operation with a peer. Its text may contain text of
// the peer's: the names in its certificate, the address that it announced.
type doingError struct {
	doing string
	err   error
}

func (e *doingError) Error() string {
	return e.doing + ": " + wire.Printable(e.err.Error(), maxErrorText)
}

func (e *doingError) Unwrap() error { return e.err }

// resetCode maps an HTTP/2 error code of an RST_STREAM to a gRPC code: gRPC's
// PROTOCOL-HTTP2 document, "HTTP2 Transport Mapping", "Errors".
func resetCode(c h2.ErrCode) codes.Code {
	switch c {
	case h2.ErrCodeRefusedStream:
		return codes.Unavailable
	case h2.ErrCodeCancel:
		return codes.Canceled
	case h2.ErrCodeEnhanceYourCalm:
		return codes.ResourceExhausted
	case h2.ErrCodeInadequateSecurity:
		return codes.PermissionDenied
	}
	if c <= h2.ErrCodeHTTP11Required {
		return codes.Internal
	}
	return codes.Unknown
}

// httpCode maps an HTTP status to a gRPC code, for responses that have no
// grpc-status: gRPC's http-grpc-status-mapping document.
func httpCode(s string) codes.Code {
	switch s {
	case "400":
		return codes.Internal
	case "401":
		return codes.Unauthenticated
	case "403":
		return codes.PermissionDenied
	case "404":
		return codes.Unimplemented
	case "429", "502", "503", "504":
		return codes.Unavailable
	}
	return codes.Unknown
}

// engineStatus returns the status of a call that the engine could not complete.
func engineStatus(ctx context.Context, err error) *status.Status {
	var reset *h2.ResetError
	var conn *h2.ConnError
	var msg *h2.MessageError
	switch {
	case errors.As(err, &msg):
		switch {
		case msg.TooLarge:
			return status.New(codes.ResourceExhausted, msg.Error())
		case msg.Extra:
			return status.New(codes.Unimplemented, msg.Error())
		}
		return status.New(codes.Internal, msg.Error())
	case errors.As(err, &reset):
		c := resetCode(reset.Code)
		if c == codes.Canceled && deadlinePassed(ctx) {
			// The peer's timer fired a little earlier than ours.
			return status.New(codes.DeadlineExceeded, context.DeadlineExceeded.Error())
		}
		return status.New(c, err.Error())
	case errors.As(err, &conn), errors.Is(err, h2.ErrGoingAway):
		return status.New(codes.Unavailable, err.Error())
	case errors.Is(err, h2.ErrClosed):
		return status.New(codes.Unavailable, "the connection was closed by this side")
	case isListError(err) != nil:
		return status.New(codes.Internal, err.Error())
	case errors.Is(err, h2.ErrStreamEnded):
		if ctx.Err() != nil {
			return status.FromContextError(ctx.Err())
		}
		return status.New(codes.Internal, err.Error())
	}
	return status.New(codes.Unknown, err.Error())
}

func deadlinePassed(ctx context.Context) bool {
	d, ok := ctx.Deadline()
	return ok && !time.Now().Before(d)
}

// responseStatus returns the status of a response whose stream has ended in order.
// limit is this side's limit of header lists.
func responseStatus(r h2.Response, limit int) *status.Status {
	head, last := r.Head, r.Trailer
	if head == nil {
		return status.New(codes.Internal, "the stream ended without a response")
	}
	if r.TrailersOnly {
		last = head
	}
	tooLarge := head.TooLarge || (last != nil && last.TooLarge)
	if last != nil {
		if s, ok := last.Get("grpc-status"); ok && tooLarge {
			return cutStatus(trailerStatus(last, s), last, limit)
		} else if ok {
			return trailerStatus(last, s)
		}
	}
	if tooLarge {
		return status.New(codes.ResourceExhausted, largeResponse(limit))
	}
	if head.Status != "200" {
		text := "the server answered with the HTTP status " + head.Status + " and no grpc-status"
		if len(r.Body) > 0 {
			text += fmt.Sprintf(": %.*q", maxQuoted, r.Body)
		}
		return status.New(httpCode(head.Status), text)
	}
	if ct, _ := head.Get("content-type"); !h2.IsGRPC(ct) {
		return status.Newf(codes.Unknown, "the server answered with the content type %.100q, which is not gRPC, and no grpc-status: %.*q", ct, maxQuoted, r.Body)
	}
	if last == nil {
		return status.New(codes.Internal, "the response ended without trailers")
	}
	return status.New(codes.Unknown, "the response's trailers have no grpc-status")
}

// trailerStatus reads a status from trailers. It returns nil for OK, which has no
// message and no details.
func trailerStatus(h *h2.Head, code string) *status.Status {
	if code == "0" {
		return nil
	}
	n, err := strconv.ParseUint(code, 10, 31)
	if err != nil {
		return status.Newf(codes.Unknown, "malformed grpc-status %.32q", code)
	}
	msg, _ := h.Get("grpc-message")
	w := status.Proto{Code: int32(n), Message: wire.ParseMessage(msg)}
	if bin, ok := h.Get("grpc-status-details-bin"); ok {
		var full status.Proto
		raw, err := wire.ParseBin(bin)
		if err == nil && full.UnmarshalFrom([]byte(raw)) == nil && full.Code == w.Code {
			w.Details = full.Details
		}
	}
	return status.FromProto(w)
}

// isProtoContent reports whether the gRPC content type ct announces messages in
// protobuf's format, which is the default if it names none: gRPC's PROTOCOL-HTTP2
// document, "Content-Type".
func isProtoContent(ct string) bool {
	format, named := strings.CutPrefix(ct, "application/grpc+")
	format, _, _ = strings.Cut(format, ";")
	return !named || format == "proto"
}

// toMD collects the metadata in a header block. Reserved fields are left out, except
// those in keep.
func toMD(h *h2.Head, keep ...string) (metadata.MD, error) {
	if h == nil {
		return nil, nil
	}
	md := make(metadata.MD, len(h.Fields))
	for _, f := range h.Fields {
		if reserved(f.Name) && !slices.Contains(keep, f.Name) {
			continue
		}
		if !isBin(f.Name) {
			md[f.Name] = append(md[f.Name], f.Value)
			continue
		}
		vals, err := parseBins(md[f.Name], f)
		if err != nil {
			return nil, err
		}
		md[f.Name] = vals
	}
	return md, nil
}

// checkBins checks the -bin fields of a request.
func checkBins(h *h2.Head) error {
	for _, f := range h.Fields {
		if !isBin(f.Name) {
			continue
		}
		if _, err := parseBins(nil, f); err != nil {
			return err
		}
	}
	return nil
}

// parseBins appends the values of a -bin field, which are joined with commas, to
// vals.
func parseBins(vals []string, f h2.Field) ([]string, error) {
	for rest, more := f.Value, true; more; {
		var v string
		v, rest, more = strings.Cut(rest, ",")
		b, err := wire.ParseBin(v)
		if err != nil {
			return nil, fmt.Errorf("metadata %.100q is not base64: %.100q", f.Name, v)
		}
		vals = append(vals, b)
	}
	return vals, nil
}
