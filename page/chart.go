package page

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// segment is a part of a bar, in percent of the whole width.
type segment struct {
	Class, Name string
	Count       int
	X, W        string
}

// thinnest is how wide a segment is drawn at least, in percent: what is there
// has to be seen, however little it is.
const thinnest = 0.6

// tones is how many colours the style sheet has for types; others share the
// last.
const tones = 8

// layOut gives each segment its place; total is the count that fills the bar.
func layOut(parts []segment, total float64) []segment {
	var out []segment
	x := 0.0
	for _, p := range parts {
		if p.Count <= 0 || x >= 100 {
			continue
		}
		w := min(max(100*float64(p.Count)/max(total, 1), thinnest), 100-x)
		p.X, p.W = decimal(x), decimal(w)
		x += w
		out = append(out, p)
	}
	return out
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

// typeRow is one type of user.
type typeRow struct {
	Name                 string
	IPv4, IPv6, Prefixes int
	Class                string // its colour in the networks' bars
	Segments             []segment
	History              history
}

// typeRows are the types, the most used first.
func typeRows(types []Type) []typeRow {
	types = slices.Clone(types)
	slices.SortStableFunc(types, func(a, b Type) int {
		return cmp.Or(cmp.Compare(b.IPv4+b.IPv6, a.IPv4+a.IPv6), cmp.Compare(a.Type, b.Type))
	})
	most := 0
	for _, t := range types {
		most = max(most, t.IPv4+t.IPv6)
	}
	rows := make([]typeRow, len(types))
	for i, t := range types {
		rows[i] = typeRow{
			Name: t.Type, IPv4: t.IPv4, IPv6: t.IPv6, Prefixes: t.Prefixes, Class: "tone" + strconv.Itoa(min(i+1, tones)),
			Segments: layOut([]segment{{Class: "v4", Name: "IPv4", Count: t.IPv4}, {Class: "v6", Name: "IPv6", Count: t.IPv6}}, float64(most)),
			History:  historyOf(t.Samples),
		}
	}
	return rows
}

// networkRow is one network's prefix.
type networkRow struct {
	Prefix, Name, Source string
	NAT                  bool
	Used                 int
	Capacity, Share      string // "" for not known
	Segments             []segment
	History              history
}

// share is the used part of the capacity, from 0 to 1.
func (n Network) share() float64 {
	if n.Capacity <= 0 {
		return 0
	}
	return min(1, float64(n.Used)/n.Capacity)
}

// networkOrder is the order in which networks are listed: the fullest first.
func networkOrder(networks []Network) []Network {
	networks = slices.Clone(networks)
	slices.SortStableFunc(networks, func(a, b Network) int {
		return cmp.Or(cmp.Compare(b.share(), a.share()), cmp.Compare(b.Used, a.Used), cmp.Compare(a.Prefix, b.Prefix), cmp.Compare(a.Source, b.Source))
	})
	return networks
}

// partsShown is how many types the bar of one network tells apart.
const partsShown = 12

// networkRows are networks as they are shown. The colours are those of types.
func networkRows(networks []Network, types []typeRow) []networkRow {
	class := map[string]string{}
	for _, t := range types {
		class[t.Name] = t.Class
	}
	rows := make([]networkRow, len(networks))
	for i, n := range networks {
		row := networkRow{Prefix: n.Prefix, Name: n.Network, Source: n.Source, NAT: n.NAT, Used: n.Used, History: historyOf(n.Samples)}
		full := math.Inf(1)
		if n.Capacity > 0 {
			full, row.Capacity, row.Share = n.Capacity, capacity(n.Capacity), percent(n.share())
		}
		var parts []segment
		for _, c := range n.ByType[:min(len(n.ByType), partsShown)] {
			parts = append(parts, segment{Class: cmp.Or(class[c.Type], "tone"+strconv.Itoa(tones)), Name: c.Type, Count: c.Used})
		}
		if len(parts) == 0 {
			parts = []segment{{Class: "step", Name: "used", Count: n.Used}}
		}
		row.Segments = layOut(parts, full)
		rows[i] = row
	}
	return rows
}

// history is a line over time. It has no points where there is nothing to
// draw.
type history struct {
	Points string // of a polyline in a box of 100 by 20
	Text   string // the line in words
}

// historyPoints is how many points a line has at most.
const historyPoints = 60

// historyOf draws what was used. The box reaches from none to the highest that
// there was, so that a small movement in a large network is seen; how full it
// is, the bar next to it says.
func historyOf(samples []Sample) history {
	samples = slices.DeleteFunc(slices.Clone(samples), func(s Sample) bool {
		return math.IsNaN(s.Used) || math.IsInf(s.Used, 0) || s.Used < 0
	})
	slices.SortStableFunc(samples, func(a, b Sample) int { return a.At.Compare(b.At) })
	if len(samples) < 2 {
		return history{}
	}
	first, last := samples[0], samples[len(samples)-1]
	whole := last.At.Sub(first.At)
	if whole <= 0 {
		return history{}
	}
	least, most := first.Used, first.Used
	for _, s := range samples {
		least, most = min(least, s.Used), max(most, s.Used)
	}
	var b strings.Builder
	for i, s := range thinned(samples, whole) {
		if i > 0 {
			b.WriteByte(' ')
		}
		y := 19.0
		if most > 0 {
			y = 19 - 18*s.Used/most
		}
		b.WriteString(strconv.FormatFloat(100*float64(s.At.Sub(first.At))/float64(whole), 'f', 1, 64) + "," + strconv.FormatFloat(y, 'f', 1, 64))
	}
	text := number(int(first.Used)) + " → " + number(int(last.Used)) + " in " + cmp.Or(span(whole), "a moment")
	if least == most {
		text = number(int(most)) + " for " + cmp.Or(span(whole), "a moment")
	}
	if least < min(first.Used, last.Used) || most > max(first.Used, last.Used) {
		text += ", between " + number(int(least)) + " and " + number(int(most))
	}
	return history{Points: b.String(), Text: text}
}

// thinned keeps of each stretch of time the last sample, and always the first
// and the last of all.
func thinned(samples []Sample, whole time.Duration) []Sample {
	if len(samples) <= historyPoints {
		return samples
	}
	stretch := func(s Sample) int {
		return int(float64(s.At.Sub(samples[0].At)) / float64(whole) * (historyPoints - 2))
	}
	out := samples[:1:1]
	for i, s := range samples[1:] {
		if i+2 == len(samples) || stretch(s) != stretch(samples[i+2]) {
			out = append(out, s)
		}
	}
	return out
}
