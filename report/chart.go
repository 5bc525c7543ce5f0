package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

// chart is a list of horizontal bars with a legend.
type chart struct {
	Legend []segment
	Bars   []barRow
}

// barRow is one bar: a name, its segments, and the numbers in words.
type barRow struct {
	Name, Note string
	Segments   []segment
	Text       string
}

// segment is a part of a bar, in percent of the whole width.
type segment struct {
	Class string
	Name  string
	Count int
	X, W  string
}

// thinnest is how wide a segment is drawn at least, in percent: what is there
// has to be seen, however little it is.
const thinnest = 0.6

// chartBars is how many prefixes the chart shows, the fullest first: more
// would be a table, and there is one below.
const chartBars = 40

// tones is how many colours the style sheet has for types; others share the
// last.
const tones = 8

// layOut gives each segment its place; total is the count that fills the bar.
func layOut(parts []segment, total float64) []segment {
	var out []segment
	x := 0.0
	for _, p := range parts {
		if p.Count == 0 {
			continue
		}
		w := min(max(100*float64(p.Count)/max(total, 1), thinnest), 100-x)
		p.X, p.W = strconv.FormatFloat(x, 'f', 2, 64), strconv.FormatFloat(w, 'f', 2, 64)
		x += w
		out = append(out, p)
	}
	return out
}

// segments is how a source's rows divide.
func (s *share) segments() []segment {
	parts := []segment{
		{Class: "step", Name: "in step", Count: s.InStep}, {Class: "waiting", Name: "waiting", Count: s.Waiting},
		{Class: "create", Name: "create", Count: s.Create}, {Class: "update", Name: "update", Count: s.Update},
		{Class: "delete", Name: "delete", Count: s.Delete}, {Class: "held", Name: "held", Count: s.Summary.Held},
	}
	total := 0
	for _, p := range parts {
		total += p.Count
	}
	return layOut(parts, float64(total))
}

// typeChart shows how many addresses each type of user holds.
func (u Usage) typeChart() chart {
	sums := u.sum(func(c Count) Count { return Count{Type: c.Type} })
	slices.SortFunc(sums, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.IPv4+b.IPv6, a.IPv4+a.IPv6), cmp.Compare(a.Type, b.Type))
	})
	c := chart{Legend: []segment{{Class: "v4", Name: "IPv4"}, {Class: "v6", Name: "IPv6"}}}
	most := 0
	for _, s := range sums {
		most = max(most, s.IPv4+s.IPv6)
	}
	for _, s := range sums {
		if s.IPv4+s.IPv6 == 0 {
			continue
		}
		c.Bars = append(c.Bars, barRow{
			Name:     plain(s.Type),
			Segments: layOut([]segment{{Class: "v4", Name: "IPv4", Count: s.IPv4}, {Class: "v6", Name: "IPv6", Count: s.IPv6}}, float64(most)),
			Text:     fmt.Sprintf("%s IPv4, %s IPv6", number(s.IPv4), number(s.IPv6)),
		})
	}
	return c
}

// networkChart shows how full each prefix is, and with what.
func (u Usage) networkChart() chart {
	tone := map[string]string{}
	var c chart
	for i, b := range u.typeChart().Bars {
		class := "tone" + strconv.Itoa(min(i+1, tones))
		tone[b.Name] = class
		c.Legend = append(c.Legend, segment{Class: class, Name: b.Name})
	}
	fullest := slices.Clone(u.Prefixes)
	slices.SortStableFunc(fullest, func(a, b Utilisation) int { return cmp.Compare(b.Share(), a.Share()) })
	for _, p := range fullest[:min(len(fullest), chartBars)] {
		capacity := 1e30 // anything that makes the bar thin
		if n, exact := p.Capacity(); exact {
			capacity = float64(n)
		}
		var parts []segment
		for _, t := range p.ByType {
			parts = append(parts, segment{Class: tone[plain(t.Type)], Name: plain(t.Type), Count: t.Used})
		}
		note := plain(p.Source)
		if p.Network != "" {
			note = plain(p.Network) + ", " + note
		}
		if p.NAT {
			note += ", NAT"
		}
		c.Bars = append(c.Bars, barRow{
			Name: p.Prefix.String(), Note: note, Segments: layOut(parts, capacity),
			Text: fmt.Sprintf("%s of %s, %s", number(p.Used), p.CapacityText(), p.ShareText()),
		})
	}
	return c
}
