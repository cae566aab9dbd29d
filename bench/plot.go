package main

import (
	"cmp"
	_ "embed"
	"html/template"
	"io"
	"slices"
)

// plot is what `make bench` draws: groups of bars, each group with a scale of its own.
type plot struct {
	Machine string
	Groups  []group
}

type group struct {
	Title string
	Bars  []bar
}

// bar is one measurement; Text is its value with the unit.
type bar struct {
	Name  string
	Value float64
	Text  string
}

//go:embed plot.svg.tmpl
var plotTemplate string

// In pixels.
const (
	titleHeight = 40
	barHeight   = 22
	longestBar  = 440
)

// row is a line of the drawing at Y: a title, or a bar of a Length.
type row struct {
	bar
	Title     string
	Y, Length int
	Base      bool // what the others are compared with
}

// draw writes the plot as SVG.
func (p plot) draw(w io.Writer) error {
	var rows []row
	y := 0
	for _, group := range p.Groups {
		y += titleHeight
		rows = append(rows, row{Title: group.Title, Y: y})
		longest := slices.MaxFunc(group.Bars, func(a, b bar) int { return cmp.Compare(a.Value, b.Value) })
		for i, bar := range group.Bars {
			y += barHeight
			length := max(1, int(longestBar*bar.Value/longest.Value))
			rows = append(rows, row{bar: bar, Y: y, Length: length, Base: i == 0})
		}
	}
	svg := template.Must(template.New("plot").Parse(plotTemplate))
	return svg.Execute(w, map[string]any{"Rows": rows, "Machine": p.Machine, "Height": y + titleHeight, "Foot": y + barHeight + 6})
}
