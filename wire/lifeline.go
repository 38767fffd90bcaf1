package wire

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// errLifeline reports a lifeline value that is not three decimal numbers.
var errLifeline = errors.New("wire: a lifeline is fd:device:inode in decimal numbers")

// LifelineNone is the value of EnvLifeline for a plugin that is meant to outlive its
// host.
const LifelineNone = "none"

// Lifeline is any other value of EnvLifeline: which inherited descriptor is the pipe from
// the host, and the device and inode that fstat must report for it before it may be
// trusted. The values of EnvStdout and EnvStderr have the same form. Only tenon hosts
// send these.
type Lifeline struct {
	FD            int
	Device, Inode uint64
}

// ParseLifeline parses fd:device:inode. Descriptors 0 to 2 are the standard streams and
// are refused. The error quotes s.
func ParseLifeline(s string) (Lifeline, error) {
	parts := strings.SplitN(s, ":", 4)
	if len(s) > maxLifeline || len(parts) != 3 {
		return Lifeline{}, fmt.Errorf("%w: %s", errLifeline, Quote(s))
	}
	fd, ok1 := Decimal(parts[0], math.MaxInt32)
	device, ok2 := Decimal(parts[1], math.MaxUint64)
	inode, ok3 := Decimal(parts[2], math.MaxUint64)
	if !ok1 || !ok2 || !ok3 || fd <= 2 {
		return Lifeline{}, fmt.Errorf("%w: %s", errLifeline, Quote(s))
	}
	return Lifeline{FD: int(fd), Device: device, Inode: inode}, nil
}

// Append appends l as fd:device:inode.
func (l Lifeline) Append(b []byte) []byte {
	b = strconv.AppendInt(b, int64(l.FD), 10)
	b = append(b, ':')
	b = strconv.AppendUint(b, l.Device, 10)
	b = append(b, ':')
	return strconv.AppendUint(b, l.Inode, 10)
}
