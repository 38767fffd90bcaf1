package h2

import (
	"strings"

	"golang.org/x/net/http2/hpack"
)

// Field is one header field.
type Field = hpack.HeaderField

// Head is a decoded header block: a request's, a response's or trailers.
type Head struct {
	Method, Scheme, Authority, Path string // of a request
	Status                          string // of a response
	// Fields is the regular fields, in the order in which they arrived.
	Fields []Field
	// TooLarge reports that the block exceeded the limit; Fields lacks what came after.
	TooLarge bool
	// Cut is the field that exceeded the limit, with as much of its value as there was
	// room for; its name is empty if there was none.
	Cut Field
	// Note is for Handler.Open: what it has found out about the head, which many streams
	// of a connection may share.
	Note any

	whole bool // reader: the consumers of its streams want whole requests
}

// newHead returns a Head with room for the usual fields.
func newHead(kind blockKind) *Head {
	if kind == requestBlock {
		var h struct {
			Head
			room [12]Field
		}
		h.Fields = h.room[:0]
		return &h.Head
	}
	var h struct {
		Head
		room [4]Field
	}
	h.Fields = h.room[:0]
	return &h.Head
}

// Get returns the value of the first field called name.
func (h *Head) Get(name string) (string, bool) {
	for i := range h.Fields {
		if h.Fields[i].Name == name {
			return h.Fields[i].Value, true
		}
	}
	return "", false
}

// gRPC reports whether a response's body is a sequence of gRPC messages.
func (h *Head) gRPC() bool {
	ct, _ := h.Get("content-type")
	return h.Status == "200" && IsGRPC(ct)
}

// IsGRPC reports whether a content type is gRPC's: "application/grpc" alone, or with
// a subtype or parameters.
func IsGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// The kinds of header block, which differ in the pseudo-header fields that they may
// and must have (RFC 9113 §8.3).
type blockKind int

const (
	requestBlock blockKind = iota
	responseBlock
	trailerBlock
)

// headerDecoder decodes header blocks. The reader owns it.
//
// A block is always decoded to its end, even if it is malformed, too large or for a
// stream that has ended: the compression state belongs to the connection.
type headerDecoder struct {
	dec        *hpack.Decoder
	limit      int                   // of the sum of name, value and 32 for each field (RFC 9113 §6.5.2)
	maxFields  int                   // see HeaderFields
	blockLimit int                   // see headerBlockSize
	memo       map[string]*memoBlock // by kind and encoded block; see block
	key        []byte                // scratch

	kind blockKind
	head *Head
	most int // limit, or what is left of the connection's budget
	blockState
}

// blockState is the state of decoding a block.
type blockState struct {
	size      int
	count     int
	pseudo    uint8 // which pseudo-header fields were seen
	regular   bool  // a regular field was seen
	malformed string
}

const (
	sawMethod = 1 << iota
	sawScheme
	sawAuthority
	sawPath
	sawStatus
)

func newHeaderDecoder(limit int) *headerDecoder {
	d := &headerDecoder{
		limit: limit, maxFields: HeaderFields(limit), blockLimit: max(headerBlockSize, int(headerBlockShare*float64(limit))),
		memo: map[string]*memoBlock{},
	}
	d.dec = hpack.NewDecoder(defaultTableSize, d.emit)
	d.dec.SetMaxStringLength(d.blockLimit)
	return d
}

// begin starts a block.
func (d *headerDecoder) begin(kind blockKind) {
	d.kind, d.head, d.blockState = kind, newHead(kind), blockState{}
	d.most = d.limit
	d.dec.SetEmitEnabled(true)
}

// feed lets hpack decode a part of the block.
func (d *headerDecoder) feed(fragment []byte) error {
	if _, err := d.dec.Write(fragment); err == hpack.ErrStringLength {
		return fault(ErrCodeEnhanceYourCalm, "header block with a string of more than %d bytes", d.blockLimit)
	} else if err != nil {
		return fault(ErrCodeCompression, "header block: %v", err)
	}
	return nil
}

// end finishes the block. The Head may be shared and must not be changed. malformed
// is not empty if the block violates RFC 9113 §8.2 or §8.3, which is an error of its
// stream alone.
func (d *headerDecoder) end() (head *Head, malformed string, err error) {
	if err := d.dec.Close(); err != nil {
		return nil, "", fault(ErrCodeCompression, "header block: %v", err)
	}
	if d.malformed == "" && !d.head.TooLarge {
		malformed = d.incomplete()
	} else {
		malformed = d.malformed
	}
	return d.head, malformed, nil
}

// incomplete returns which pseudo-header field is missing or wrong, "" if none is.
func (d *headerDecoder) incomplete() string {
	switch d.kind {
	case requestBlock:
		switch {
		case d.pseudo&(sawMethod|sawScheme|sawPath) != sawMethod|sawScheme|sawPath:
			return "request without :method, :scheme or :path"
		case !strings.HasPrefix(d.head.Path, "/") && !(d.head.Path == "*" && d.head.Method == "OPTIONS"):
			return ":path does not begin with a slash"
		}
	case responseBlock:
		s := d.head.Status
		if len(s) != 3 || s[0] < '1' || s[0] > '9' || s[1] < '0' || s[1] > '9' || s[2] < '0' || s[2] > '9' {
			return "response without a :status of three digits"
		}
	}
	return ""
}

// usual reports whether the decoded fields may be a whole block that needs no
// handling except keeping its head.
func (d *headerDecoder) usual() bool {
	_, announced := d.head.Get("content-length")
	return !announced && d.incomplete() == "" && (d.kind != responseBlock || d.head.gRPC())
}

// cost returns roughly how much memory the kept fields take.
func (d *headerDecoder) cost() int {
	return min(d.size, d.most) + d.fieldsCost()
}

// fieldsCost returns the part of cost that the size of the list, with 32 for each
// field, does not include.
func (d *headerDecoder) fieldsCost() int { return min(d.count, d.maxFields) * (fieldCost - 32) }

// emit adds a field. hpack calls it.
func (d *headerDecoder) emit(f hpack.HeaderField) {
	room := d.most - d.size - len(f.Name) - 32
	d.size += int(f.Size())
	d.count++
	if d.size > d.most || d.count > d.maxFields {
		d.head.TooLarge = true
		d.dec.SetEmitEnabled(false)
		whole := f.Value
		f.Value = whole[:max(0, min(room, len(whole)))]
		if f.Value == "" || d.malformed != "" || checkField(f) != "" {
			return
		}
		if len(f.Value) < len(whole)/2 {
			f.Value = strings.Clone(f.Value) // so that the rest, which is larger, is not kept with it
		}
		d.head.Cut = f
		return
	}
	if d.malformed != "" {
		return
	}
	if len(f.Name) > 0 && f.Name[0] == ':' {
		d.malformed = d.pseudoField(f)
		return
	}
	d.regular = true
	if d.malformed = checkField(f); d.malformed == "" {
		d.head.Fields = append(d.head.Fields, f)
	}
}

// pseudoField stores a pseudo-header field and returns what is wrong with it, "" for
// nothing: RFC 9113 §8.3.
func (d *headerDecoder) pseudoField(f hpack.HeaderField) string {
	if d.regular {
		return "pseudo-header field after a regular one"
	}
	var bit uint8
	var dst *string
	switch f.Name {
	case ":method":
		bit, dst = sawMethod, &d.head.Method
	case ":scheme":
		bit, dst = sawScheme, &d.head.Scheme
	case ":authority":
		bit, dst = sawAuthority, &d.head.Authority
	case ":path":
		bit, dst = sawPath, &d.head.Path
	case ":status":
		bit, dst = sawStatus, &d.head.Status
	default:
		return "unknown pseudo-header field"
	}
	if d.kind == trailerBlock || (bit == sawStatus) != (d.kind == responseBlock) {
		return "pseudo-header field " + f.Name + " where it may not be"
	}
	if d.pseudo&bit != 0 {
		return "pseudo-header field " + f.Name + " twice"
	}
	if !validValue(f.Value) || padded(f.Value) {
		return "pseudo-header field " + f.Name + " with forbidden characters"
	}
	d.pseudo |= bit
	*dst = f.Value
	return ""
}

// checkField returns what is wrong with a regular field, "" for nothing: RFC 9113
// §8.2.1 and §8.2.2.
func checkField(f hpack.HeaderField) string {
	if f.Name == "" {
		return "field without a name"
	}
	for i := 0; i < len(f.Name); i++ {
		if !tokenByte[f.Name[i]] {
			return "field name with forbidden characters"
		}
	}
	if !validValue(f.Value) {
		return "field value with forbidden characters"
	}
	switch f.Name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return "connection-specific field " + f.Name
	case "te":
		if f.Value != "trailers" {
			return "te other than trailers"
		}
	}
	return ""
}

// validValue reports whether v has no NUL, CR or LF. RFC 9113 §8.2.1 also forbids
// white space at the ends, but grpc-go sends it, and gRPC's PROTOCOL-HTTP2 document
// requires accepting metadata that its own senders may not send.
func validValue(v string) bool {
	for i := 0; i < len(v); i++ {
		if c := v[i]; c == 0 || c == '\r' || c == '\n' {
			return false
		}
	}
	return true
}

// padded reports whether v has white space at an end.
func padded(v string) bool { return strings.Trim(v, " \t") != v }

// tokenByte has the bytes of a field name: those of RFC 9110's token without
// upper-case letters.
var tokenByte = func() (t [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz" {
		t[c] = true
	}
	return t
}()

// HeaderFields returns how many fields a header block may have under a limit of
// bytes: empty fields cost memory too.
func HeaderFields(limit int) int { return max(minHeaderFields, limit/fieldShare) }

// memoBlock is the decoded form of a run of indexed fields at the beginning of a
// block.
type memoBlock struct {
	head  *Head // shared by all streams with these headers
	state blockState
	usual bool // see headerDecoder.usual
	cost  int  // see headerDecoder.cost
}
