package h2

import (
	"bufio"
	"bytes"
	"net"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
)

// takesAll is a handler that wants whole requests.
type takesAll struct{}

func (takesAll) New() *Stream             { return new(Stream) }
func (takesAll) Open(*Stream) bool        { return true }
func (takesAll) Opened(*Stream)           {}
func (takesAll) Ready(*Stream)            {}
func (takesAll) Quick(*Stream, bool) bool { return false }
func (takesAll) Run(*Stream)              {}
func (takesAll) Reset(*Stream)            {}

// TestWholeIsTaken: calls whose header blocks are known, and that have arrived as a
// whole, are handled at once. Everything else that holds for calls holds for these
// too, so no other test would notice if they were not.
func TestWholeIsTaken(t *testing.T) {
	Needs(t, fastpath.HeaderMemo, fastpath.WholeExchange)
	head := []Field{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "application/grpc"}}
	trailer := []Field{{Name: "grpc-status", Value: "0"}}
	request := []Field{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/a/b"}}
	const message = "\x00\x00\x00\x00\x03abc"
	for name, client := range map[string]bool{"client": true, "server": false} {
		t.Run(name, func(t *testing.T) {
			nc, peer := net.Pipe()
			peer.Close() // what is sent does not matter
			cfg := Config{MaxMessage: 100, MaxHeaderList: 1000, MaxStreams: 10}
			if !client {
				cfg.Handler = takesAll{}
			}
			c := NewConn(nc, nc, cfg)
			defer c.Close()
			c.in.sawPeer = true
			enc := newHeaderEncoder()
			var whole []bool
			for id := uint32(1); id < 9; id += 2 {
				var b []byte
				if client {
					c.mu.Lock()
					c.table.nextID = id + 2
					s := c.spareStream()
					s.init(c, id)
					s.whole, s.send.ended = true, true
					c.table.streams[id] = s
					c.peerMaySend(s)
					c.mu.Unlock()
					b = appendHeaders(b, id, enc.appendFixed(nil, "head", head), false, defaultMaxFrame)
					b = append(FrameHeader{Length: len(message), Type: FrameData, StreamID: id}.append(b), message...)
					b = appendHeaders(b, id, enc.appendFixed(nil, "trailer", trailer), true, defaultMaxFrame)
				} else {
					b = appendHeaders(b, id, enc.appendFixed(nil, "request", request), false, defaultMaxFrame)
					b = append(FrameHeader{Length: len(message), Type: FrameData, Flags: FlagEndStream, StreamID: id}.append(b), message...)
				}
				c.in.br = bufio.NewReaderSize(bytes.NewReader(b), readBuffer)
				c.in.br.Peek(1)
				fh, err := c.readFrameHeader()
				took := err == nil && c.takeWhole(fh)
				whole = append(whole, took)
				for !took && err == nil {
					if err = c.frame(fh); err == nil && c.in.br.Buffered() > 0 {
						fh, err = c.readFrameHeader()
					} else {
						break
					}
				}
				if err != nil || c.in.br.Buffered() > 0 {
					t.Fatalf("%v, with %d bytes left", err, c.in.br.Buffered())
				}
			}
			if want := [4]bool{2: true, 3: true}; [4]bool(whole) != want {
				t.Errorf("taken as a whole: %v, want %v (literals come first, then what is remembered)", whole, want)
			}
		})
	}
}
