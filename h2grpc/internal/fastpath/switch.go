//go:build tenon_fastpath

package fastpath

import (
	"fmt"
	"os"
	"strings"
)

// See fastpath.go. Tests set them before they make connections.
var HeaderMemo, WholeExchange, BlockCache, OwnReading, HandlersOnReader, TryWrite,
	Gathering, Parts, Packing, Bursts, LoneWindow, LargeBuffers bool

// All has the switches, by their names.
var All = map[string]*bool{
	"HeaderMemo": &HeaderMemo, "WholeExchange": &WholeExchange, "BlockCache": &BlockCache,
	"OwnReading": &OwnReading, "HandlersOnReader": &HandlersOnReader,
	"TryWrite": &TryWrite, "Gathering": &Gathering, "Parts": &Parts, "Packing": &Packing,
	"Bursts": &Bursts, "LoneWindow": &LoneWindow, "LargeBuffers": &LargeBuffers,
}

// TENON_WITHOUT lists the switches to be turned off, separated by commas, or is
// "all". Go's cache of test results does not take it into account: use -count=1.
var _ = func() bool {
	without := os.Getenv("TENON_WITHOUT")
	for _, on := range All {
		*on = without != "all"
	}
	for name := range strings.SplitSeq(without, ",") {
		if on := All[name]; on != nil {
			*on = false
		} else if name != "" && name != "all" {
			panic(fmt.Sprintf("TENON_WITHOUT: there is no %q", name))
		}
	}
	return true
}()
