package h2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/net/http2"
)

// framer returns x/net's Framer reading b.
func framer(b []byte) *http2.Framer {
	f := http2.NewFramer(nil, bytes.NewReader(b))
	f.SetMaxReadFrameSize(1<<24 - 1)
	return f
}

// TestAppendedFrames has x/net's Framer write the same frames and read ours.
func TestAppendedFrames(t *testing.T) {
	block := bytes.Repeat([]byte("0123456789"), 10)
	data := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	for _, c := range []struct {
		name  string
		got   []byte
		write func(f *http2.Framer) error
	}{
		{"SETTINGS", appendSettings(nil, setting{settingHeaderTableSize, 1}, setting{settingMaxFrameSize, 1<<24 - 1}, setting{0xffff, 1<<32 - 1}), func(f *http2.Framer) error {
			return f.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 1}, http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1<<24 - 1}, http2.Setting{ID: 0xffff, Val: 1<<32 - 1})
		}},
		{"SETTINGS without any", appendSettings(nil), func(f *http2.Framer) error { return f.WriteSettings() }},
		{"the ack of SETTINGS", appendSettingsAck(nil), (*http2.Framer).WriteSettingsAck},
		{"WINDOW_UPDATE", appendWindowUpdate(nil, 1<<31-1, maxWindow), func(f *http2.Framer) error { return f.WriteWindowUpdate(1<<31-1, maxWindow) }},
		{"WINDOW_UPDATE of the connection", appendWindowUpdate(nil, 0, 1), func(f *http2.Framer) error { return f.WriteWindowUpdate(0, 1) }},
		{"PING", appendPing(nil, 0, data), func(f *http2.Framer) error { return f.WritePing(false, data) }},
		{"the ack of PING", appendPing(nil, FlagAck, data), func(f *http2.Framer) error { return f.WritePing(true, data) }},
		{"RST_STREAM", appendRSTStream(nil, 3, ErrCodeCancel), func(f *http2.Framer) error { return f.WriteRSTStream(3, http2.ErrCodeCancel) }},
		{"GOAWAY", appendGoAway(nil, 5, ErrCodeEnhanceYourCalm, "calm"), func(f *http2.Framer) error {
			return f.WriteGoAway(5, http2.ErrCodeEnhanceYourCalm, []byte("calm"))
		}},
		{"HEADERS", appendHeaders(nil, 7, block, true, 1000), func(f *http2.Framer) error {
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 7, BlockFragment: block, EndStream: true, EndHeaders: true})
		}},
		{"HEADERS without a block", appendHeaders(nil, 7, nil, false, 1000), func(f *http2.Framer) error {
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 7, EndHeaders: true})
		}},
		{"HEADERS of exactly two frames", appendHeaders(nil, 7, block, true, 50), func(f *http2.Framer) error {
			return errors.Join(f.WriteHeaders(http2.HeadersFrameParam{StreamID: 7, BlockFragment: block[:50], EndStream: true}),
				f.WriteContinuation(7, true, block[50:]))
		}},
		{"HEADERS of three frames", appendHeaders(nil, 7, block, false, 40), func(f *http2.Framer) error {
			return errors.Join(f.WriteHeaders(http2.HeadersFrameParam{StreamID: 7, BlockFragment: block[:40]}),
				f.WriteContinuation(7, false, block[40:80]), f.WriteContinuation(7, true, block[80:]))
		}},
		{"DATA", append(FrameHeader{Length: 4, Type: FrameData, Flags: FlagEndStream, StreamID: 9}.append(nil), "body"...), func(f *http2.Framer) error {
			return f.WriteData(9, true, []byte("body"))
		}},
	} {
		var want bytes.Buffer
		if err := c.write(http2.NewFramer(&want, nil)); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if !bytes.Equal(c.got, want.Bytes()) {
			t.Errorf("%s: got\n\t%x\nx/net's Framer writes\n\t%x", c.name, c.got, want.Bytes())
		}
	}
}

func TestNames(t *testing.T) {
	for i := range 20 {
		if ours, theirs := FrameType(i).String(), http2.FrameType(i).String(); i <= int(FrameContinuation) && ours != theirs {
			t.Errorf("frame type %d is %s and not %s", i, theirs, ours)
		}
		if ours, theirs := ErrCode(i).String(), http2.ErrCode(i).String(); i <= int(ErrCodeHTTP11Required) && ours != theirs {
			t.Errorf("error code %d is %s and not %s", i, theirs, ours)
		}
	}
	if got, want := FrameType(0x20).String(), "frame type 0x20"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := ErrCode(1<<32-1).String(), "code 0xffffffff"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if ClientPreface != http2.ClientPreface || ALPN != http2.NextProtoTLS {
		t.Error("the preface or the protocol's name differ from x/net's")
	}
}

// A verdict is a parser's result for a frame: "ok" and what it found, or the scope of
// the error and its code.
type verdict string

func broken(what string, code any) verdict { return verdict(fmt.Sprintf("%s error %v", what, code)) }

// ourVerdict runs the parsers in the order in which Conn does.
func ourVerdict(fh FrameHeader, p []byte) verdict {
	streamOnly, err := checkFrame(fh)
	var f *connFault
	switch {
	case streamOnly && errors.As(err, &f):
		return broken("stream", f.code)
	case errors.As(err, &f):
		return broken("connection", f.code)
	}
	if fh.Type == FrameHeaders {
		h, err := parseHeaders(fh, p[:min(len(p), maxHeadersStart)])
		if errors.As(err, &f) {
			return broken("connection", f.code)
		}
		return verdict(fmt.Sprintf("ok %d %x", h.dependsOn, p[h.size:h.size+h.fragment]))
	}
	return verdict(fmt.Sprintf("ok %x", p))
}

// theirVerdict returns the verdict of x/net's Framer.
func theirVerdict(fh FrameHeader, p []byte) verdict {
	fr := framer(append(fh.append(nil), p...))
	fr.AllowIllegalReads = fh.Type == FrameContinuation // without a HEADERS frame before it
	f, err := fr.ReadFrame()
	var ce http2.ConnectionError
	var se http2.StreamError
	switch {
	case errors.As(err, &ce):
		return broken("connection", http2.ErrCode(ce))
	case errors.As(err, &se):
		return broken("stream", se.Code)
	case err != nil:
		return verdict(err.Error())
	}
	switch f := f.(type) {
	case *http2.HeadersFrame:
		dep := f.Priority.StreamDep
		return verdict(fmt.Sprintf("ok %d %x", dep, f.HeaderBlockFragment()))
	case *http2.SettingsFrame:
		var b []byte
		f.ForeachSetting(func(s http2.Setting) error {
			b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, uint16(s.ID)), s.Val)
			return nil
		})
		return verdict(fmt.Sprintf("ok %x", b))
	}
	return verdict(fmt.Sprintf("ok %x", p))
}

// excused returns the reason why the two may differ: each line is a place where
// x/net's Framer is laxer or stricter than RFC 9113, or leaves a check to its caller.
func excused(fh FrameHeader, p []byte, ours, theirs verdict) bool {
	switch fh.Type {
	case FrameHeaders:
		// §6.2: padding that does not fit is a connection error, and so is a
		// frame too short for its fields (§4.2). The Framer resets the stream,
		// or says EOF.
		return ours == broken("connection", ErrCodeProtocol) && theirs == broken("stream", ErrCodeProtocol) ||
			ours == broken("connection", ErrCodeFrameSize) && (theirs == "EOF" || theirs == "unexpected EOF")
	case FramePriority:
		// §6.3: a wrong length is an error of the stream alone.
		return ours == broken("stream", ErrCodeFrameSize) && theirs == broken("connection", ErrCodeFrameSize)
	case FrameWindowUpdate:
		// §6.9: an increment of zero is judged where the stream is known.
		return len(p) == 4 && p[0]&0x7f == 0 && p[1] == 0 && p[2] == 0 && p[3] == 0
	case FrameSettings:
		// §6.5.2: a wrong value is found where the settings are applied; the Framer checks
		// one of them itself. Either of two faults may be reported first.
		return theirs == broken("connection", ErrCodeFlowControl) ||
			ours == broken("connection", ErrCodeFrameSize) && theirs == broken("connection", ErrCodeProtocol) ||
			ours == broken("connection", ErrCodeProtocol) && theirs == broken("connection", ErrCodeFrameSize)
	case FrameRSTStream, FramePing, FrameGoAway:
		return ours == broken("connection", ErrCodeFrameSize) && theirs == broken("connection", ErrCodeProtocol) ||
			ours == broken("connection", ErrCodeProtocol) && theirs == broken("connection", ErrCodeFrameSize)
	}
	return false
}

// FuzzFrame compares the result for a frame with that of x/net's Framer.
func FuzzFrame(f *testing.F) {
	seed := func(typ FrameType, flags Flags, id uint32, p string) { f.Add(uint8(typ), uint8(flags), id, []byte(p)) }
	for typ := FrameHeaders; typ <= FrameContinuation; typ++ {
		for _, id := range []uint32{0, 1} {
			for _, n := range []int{0, 3, 4, 5, 6, 8, 12} {
				seed(typ, 0, id, string(make([]byte, n)))
			}
		}
	}
	seed(FrameSettings, FlagAck, 0, "\x00\x03\x00\x00\x00\x01")
	seed(FrameSettings, 0, 0, "\x00\x04\xff\xff\xff\xff")
	seed(FrameHeaders, FlagPadded, 1, "")
	seed(FrameHeaders, FlagPadded, 1, "\x02ab")
	seed(FrameHeaders, FlagPadded, 1, "\x03ab")
	seed(FrameHeaders, FlagPriority, 1, "\x80\x00\x00\x01")
	seed(FrameHeaders, FlagPadded|FlagPriority|FlagEndHeaders, 1, "\x01\x80\x00\x00\x01\x10block\x00")
	seed(FrameGoAway, 0, 0, "\x00\x00\x00\x01\x00\x00\x00\x02why")
	f.Fuzz(func(t *testing.T, typ, flags uint8, id uint32, p []byte) {
		fh := FrameHeader{Length: len(p), Type: FrameType(typ), Flags: Flags(flags), StreamID: id &^ (1 << 31)}
		if got := parseFrameHeader(fh.append(nil)); got != fh {
			t.Fatalf("%+v was written and %+v read", fh, got)
		}
		if fh.Type == FrameData || fh.Type == FramePushPromise || fh.Type > FrameContinuation {
			return // read elsewhere, refused and ignored whatever they carry
		}
		ours, theirs := ourVerdict(fh, p), theirVerdict(fh, p)
		if ours != theirs && !excused(fh, p, ours, theirs) {
			t.Errorf("%+v %q: %s, x/net's Framer: %s", fh, p, ours, theirs)
		}
	})
}
