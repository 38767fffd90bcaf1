// Package report says what was measured: tables, bars, JSON and a chart.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/tenonrpc/tenon/plugin/bench/life"
	"github.com/tenonrpc/tenon/plugin/bench/suite"
)

// Report is everything that one run has measured.
type Report struct {
	Made       time.Time
	Quick      bool // a trial of the program: the figures are not to be believed
	Machine    Machine
	Rounds     int
	Length     time.Duration // of one round of one contender
	LifeRounds int
	Loads      []suite.Outcome
	Life       *life.Report // nil: not measured
}

// notes say what readers of the tables of loads have to know.
const notes = `Client and server are processes of their own, connected by a unix socket. CPU time is what getrusage says of both. Every
library runs with its defaults except for limits. "a → b" is a client of a and a server of b. drpc has one call at a
time on a connection, so overlapping calls and open streams have connections of their own; connect-go speaks the gRPC
protocol; raw is a bare socket, or TLS on one, without calls or messages: the limit. Payloads go both ways.

`

// WriteTables writes all tables, for people; they are Markdown as well.
func (r *Report) WriteTables(w io.Writer) {
	fmt.Fprintf(w, "%s\n\n", r.Machine)
	if r.Quick {
		fmt.Fprint(w, "This was a quick trial: the figures are not to be believed.\n\n")
	}
	if r.Machine.busy() {
		fmt.Fprint(w, "The machine was busy with other things before the run: the figures are doubtful.\n\n")
	}
	if len(r.Loads) > 0 {
		fmt.Fprintf(w, "Medians of %d rounds of %v, in which the contenders take turns. A ratio is the median of the rounds' ratios.\n\n", r.Rounds, r.Length)
		fmt.Fprint(w, notes)
		writeLoads(w, r.Loads)
	}
	if r.Life != nil {
		fmt.Fprintf(w, "Medians of %d rounds, in which the libraries and modes take turns.\n\n", r.LifeRounds)
		writeLife(w, r.Life)
	}
}

// WriteJSON writes everything that was measured, round by round, and the bars.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	return enc.Encode(struct {
		*Report
		Bars []Bar
	}{r, r.Bars()})
}
