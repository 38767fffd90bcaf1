package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/tenonrpc/tenon/plugin/bench/contender"
	"github.com/tenonrpc/tenon/plugin/bench/life"
	"github.com/tenonrpc/tenon/plugin/bench/suite"
)

// The chart's measures, in pixels.
const (
	chartWidth  = 900
	panelGap    = 24
	panelWidth  = (chartWidth - 3*panelGap) / 2
	nameWidth   = 118
	valueWidth  = 74
	barHeight   = 14
	barStep     = 18
	titleHeight = 26
	captionRoom = 40
)

// The colours are legible on white, which the chart has as its own ground.
const (
	ground    = "#ffffff"
	ink       = "#24292f"
	ours      = "#0b6e4f" // tenon
	yardstick = "#57606a" // what it is compared with
	others    = "#b6bdc5"
)

// A bar of the chart.
type mark struct {
	name, text, colour string
	value              float64
}

// A panel is a title and its bars.
type panel struct {
	title string
	marks []mark
}

// WriteChart draws the most telling figures as SVG.
func (r *Report) WriteChart(w io.Writer) error {
	panels := r.panels()
	var body strings.Builder
	y := panelGap
	for i := 0; i < len(panels); i += 2 {
		height := 0
		for column, p := range panels[i:min(i+2, len(panels))] {
			height = max(height, p.draw(&body, panelGap+column*(panelWidth+panelGap), y))
		}
		y += height + panelGap
	}
	caption := fmt.Sprintf("%s, %d cores, %s; grpc-go %s, go-plugin %s. Medians; client and server in processes of their own, over a unix socket.",
		r.Machine.CPU, r.Machine.Cores, r.Machine.Go, r.Machine.Modules["google.golang.org/grpc"], r.Machine.Modules["github.com/hashicorp/go-plugin"])
	text(&body, panelGap, y, ink, "start", caption)
	y += captionRoom - panelGap
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="system-ui, sans-serif" font-size="12">
<title>tenon beside grpc-go, go-plugin and others</title>
<rect width="100%%" height="100%%" fill="%s"/>
%s</svg>
`, chartWidth, y, chartWidth, y, ground, body.String())
	return err
}

func (r *Report) panels() []panel {
	all := []panel{
		r.loadPanel("8 B × 1: calls a second (more is better)", suite.Small1, suite.PerSecond),
		r.loadPanel("8 B × 1: CPU of both ends a call, µs (less is better)", suite.Small1, suite.CPU),
		r.loadPanel("8 B, 16 callers: calls a second", suite.Small16, suite.PerSecond),
		r.loadPanel("8 B, 128 callers: calls a second", suite.Small128, suite.PerSecond),
		r.loadPanel("64 KiB, 1 caller: MB/s each way", suite.Large64K, suite.Megabytes),
		r.loadPanel("1 MiB, 1 caller: MB/s each way", suite.Large1M, suite.Megabytes),
		r.loadPanel("server stream of 100 B: messages a second", suite.ServerStream, suite.PerSecond),
		r.lifePanel("plugin: launch to first reply, fresh host, ms (less is better)", "fresh", life.First, number),
		r.lifePanel("plugin: memory when idle", "idle", life.PluginResident, megabytes),
		r.sizePanel("plugin: size, stripped and static"),
	}
	var drawn []panel
	for _, p := range all {
		if len(p.marks) > 0 {
			drawn = append(drawn, p)
		}
	}
	return drawn
}

func (r *Report) loadPanel(title, load string, m suite.Metric) panel {
	p := panel{title: title}
	for _, c := range contender.All() {
		if c.Name == contender.TenonToGRPC || c.Name == contender.GRPCToTenon || c.Name == contender.Raw {
			continue
		}
		for _, mode := range []string{suite.Plain, suite.MTLS} {
			o := suite.Find(r.Loads, load, c.Name, mode)
			if o == nil {
				continue
			}
			v, ok := o.Median(m)
			if !ok {
				continue
			}
			name, colour := c.Name, others
			switch c.Name {
			case contender.Tenon:
				colour = ours
			case contender.GRPC:
				colour = yardstick
			default:
				if mode == suite.MTLS {
					continue // enough is enough
				}
			}
			if mode == suite.MTLS {
				name += ", mTLS"
			}
			p.marks = append(p.marks, mark{name, number(v), colour, v})
		}
	}
	return p
}

func (r *Report) lifePanel(title, name string, m life.Metric, format func(float64) string) panel {
	p := panel{title: title}
	for _, mode := range modes {
		for _, library := range []string{life.Tenon, life.GoPlugin} {
			if v, ok := r.Life.Find(name, library, mode).Median(m); ok {
				p.marks = append(p.marks, mark{library + ", " + string(mode), format(v), lifeColour(library), v})
			}
		}
	}
	return p
}

func (r *Report) sizePanel(title string) panel {
	p := panel{title: title}
	for _, library := range []string{life.Tenon, life.GoPlugin} {
		if program := r.Life.Program(library, life.Plugin); program != nil {
			size := float64(program.Size)
			p.marks = append(p.marks, mark{library, megabytes(size), lifeColour(library), size})
		}
	}
	return p
}

func lifeColour(library string) string {
	if library == life.Tenon {
		return ours
	}
	return yardstick
}

// draw draws the panel and returns its height.
func (p *panel) draw(b *strings.Builder, x, y int) int {
	most := 0.0
	for _, m := range p.marks {
		most = max(most, m.value)
	}
	fmt.Fprintf(b, `<g font-weight="600">`)
	text(b, x, y+barHeight, ink, "start", p.title)
	fmt.Fprint(b, "</g>\n")
	for i, m := range p.marks {
		top := y + titleHeight + i*barStep
		length := max(1, int(m.value/most*float64(panelWidth-nameWidth-valueWidth)))
		text(b, x+nameWidth-8, top+barHeight-3, ink, "end", m.name)
		fmt.Fprintf(b, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"2\" fill=\"%s\"/>\n", x+nameWidth, top, length, barHeight, m.colour)
		text(b, x+nameWidth+length+6, top+barHeight-3, ink, "start", m.text)
	}
	return titleHeight + len(p.marks)*barStep
}

// text draws a line of text.
func text(b *strings.Builder, x, y int, colour, anchor, s string) {
	fmt.Fprintf(b, `<text x="%d" y="%d" fill="%s" text-anchor="%s">`, x, y, colour, anchor)
	xml.EscapeText(b, []byte(s)) // a strings.Builder never fails
	fmt.Fprint(b, "</text>\n")
}
