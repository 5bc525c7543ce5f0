package report

import (
	"encoding/csv"
	"io"
	"iter"
	"math"
	"strconv"
	"strings"
)

// AllocationFormats lists the formats of Allocations and Summary, the default
// first.
func AllocationFormats() []string {
	return []string{FormatTable, FormatCSV, FormatJSON, FormatMarkdown}
}

// Allocations writes a list in the order in which it comes, in one of
// AllocationFormats: the columns of LXD's `network list-allocations`, with the
// source before them.
func Allocations(w io.Writer, format string, in []Allocation, o Options) error {
	if format == FormatJSON {
		return allocationsJSON(w, in)
	}
	heads := titles("Source", "Used by", "Address", "Type", "NAT", "Hardware address")
	rows := func(yield func(cells) bool) {
		for _, a := range in {
			text := []string{a.Source, string(a.UsedBy), a.Prefix.String(), a.Type, strconv.FormatBool(a.NAT), string(a.MAC)}
			if !yield(cells{text: text}) {
				return
			}
		}
	}
	return sheet(w, format, o, []page{{heads: heads, rows: rows}})
}

// Summary writes what UsageOf counted, in one of AllocationFormats. CSV and
// the table hold the same numbers; CSV as one table whose first column tells
// the rows apart: "type" for a count, "prefix" for a utilisation.
func Summary(w io.Writer, format string, u Usage, o Options) error {
	switch format {
	case FormatJSON:
		out := newObject(w)
		out.value("schema", Schema)
		out.value("usage", documentUsage(u))
		return out.close()
	case FormatCSV:
		return sheet(w, format, o, []page{u.flat()})
	}
	return sheet(w, format, o, u.pages(true))
}

// page is one table of a sheet. Its rows hold foreign text as it is.
type page struct {
	title string
	heads []column
	rows  iter.Seq[cells]
	below string // a remark
}

// sheet writes tables one below the other.
func sheet(w io.Writer, format string, o Options, pages []page) error {
	switch format {
	case FormatTable:
		t := newTerminal(w, o)
		for i, p := range pages {
			t.page(p, i == 0)
		}
		return t.out.Flush()
	case FormatMarkdown:
		m := newMarkdown(w, Options{Limit: o.Limit})
		for _, p := range pages {
			m.page(p)
		}
		return m.close()
	case FormatCSV:
		out := csv.NewWriter(w)
		for _, p := range pages {
			names := make([]string, len(p.heads))
			for i, h := range p.heads {
				names[i] = strings.ReplaceAll(strings.ToLower(h.title), " ", "_")
			}
			out.Write(names)
			for row := range p.rows {
				for i, text := range row.text {
					row.text[i] = inert(text)
				}
				out.Write(row.text)
			}
		}
		out.Flush()
		return out.Error()
	}
	return unknownFormat(format, AllocationFormats())
}

func (t terminal) page(p page, first bool) {
	if p.title != "" {
		if !first {
			t.gap()
		}
		t.line(0, bold, strings.ToUpper(p.title))
	}
	t.grid(p.heads, true, func(yield func(cells) bool) {
		for row := range p.rows {
			for i, text := range row.text {
				row.text[i] = plain(text)
			}
			if !yield(row) {
				return
			}
		}
	})
	if p.below != "" {
		t.line(0, none, p.below)
	}
}

// inert keeps a spreadsheet from taking text for a formula: what begins like
// one gets an apostrophe in front (OWASP, "CSV Injection").
func inert(s string) string {
	s = plain(s)
	if s != "" && strings.ContainsRune("=+-@＝＋－＠|%", []rune(s)[0]) {
		return "'" + s
	}
	return s
}

func (t terminal) usage(u Usage) {
	for _, p := range u.pages(true) {
		t.page(p, false)
	}
}

// pages lays a usage out for people, with bars where the format has no better.
func (u Usage) pages(bars bool) []page {
	counts := page{
		title: "In use, by source, network and type",
		heads: titles("Source", "Network", "Type", "Prefixes", "IPv4", "IPv6"),
		rows: func(yield func(cells) bool) {
			for _, c := range u.Counts {
				if !yield(cells{text: []string{c.Source, c.Network, c.Type, number(c.Prefixes), number(c.IPv4), number(c.IPv6)}}) {
					return
				}
			}
		},
	}
	prefixes := page{
		title: "Utilisation of prefixes",
		heads: titles("Source", "Network", "Prefix", "NAT", "Used", "Free", "Capacity", "Utilisation"),
		rows: func(yield func(cells) bool) {
			for _, p := range u.Prefixes {
				share := p.ShareText()
				if bars {
					share = bar(p.Share()) + " " + share
				}
				if !yield(cells{text: []string{p.Source, p.Network, p.Prefix.String(), strconv.FormatBool(p.NAT),
					number(p.Used), p.FreeText(), p.CapacityText(), share}}) {
					return
				}
			}
		},
	}
	if u.Outside > 0 {
		prefixes.below = "Addresses in no prefix that is known: " + number(u.Outside)
	}
	return []page{counts, prefixes}
}

// bar draws a share with ten characters; anything in use shows.
func bar(share float64) string {
	n := min(10, int(math.Ceil(share*10)))
	return strings.Repeat("#", n) + strings.Repeat(".", 10-n)
}

// flat lays a usage out as one table for programs.
func (u Usage) flat() page {
	return page{
		heads: titles("Row", "Source", "Network", "Type", "Family", "Prefix", "NAT", "Used", "Free", "Capacity", "Utilisation"),
		rows: func(yield func(cells) bool) {
			for _, c := range u.Counts {
				for _, n := range []struct {
					family string
					used   int
				}{{"prefixes", c.Prefixes}, {"ipv4", c.IPv4}, {"ipv6", c.IPv6}} {
					if n.used == 0 {
						continue
					}
					if !yield(cells{text: []string{"type", c.Source, c.Network, c.Type, n.family, "", "", strconv.Itoa(n.used), "", "", ""}}) {
						return
					}
				}
			}
			for _, p := range u.Prefixes {
				free, capacity := p.FreeText(), p.CapacityText()
				if n, exact := p.Capacity(); exact {
					capacity = strconv.Itoa(n)
					n, _ = p.Free()
					free = strconv.Itoa(n)
				}
				if !yield(cells{text: []string{"prefix", p.Source, p.Network, "", strings.ToLower(p.family()), p.Prefix.String(), strconv.FormatBool(p.NAT),
					strconv.Itoa(p.Used), free, capacity, strconv.FormatFloat(p.Share(), 'g', 4, 64)}}) {
					return
				}
			}
		},
	}
}

// DocumentUsage is the JSON form of a Usage.
type DocumentUsage struct {
	Counts   []DocumentCount  `json:"counts"`
	Prefixes []DocumentPrefix `json:"prefixes"`
	Outside  int              `json:"outside"`
}

// DocumentCount is the JSON form of a Count.
type DocumentCount struct {
	Source   string `json:"source"`
	Network  string `json:"network"`
	Type     string `json:"type"`
	Prefixes int    `json:"prefixes"`
	IPv4     int    `json:"ipv4"`
	IPv6     int    `json:"ipv6"`
}

// DocumentPrefix is the JSON form of a Utilisation. Capacity and Free are null
// where there are more than 2^32 addresses; Bits says how many there are.
type DocumentPrefix struct {
	Source   string             `json:"source"`
	Network  string             `json:"network"`
	Prefix   string             `json:"prefix"`
	NAT      bool               `json:"nat"`
	Used     int                `json:"used"`
	Capacity *int               `json:"capacity"`
	Free     *int               `json:"free"`
	Bits     int                `json:"host_bits"`
	Share    float64            `json:"share"` // 0 to 1
	ByType   []DocumentTypeUsed `json:"by_type"`
}

// DocumentTypeUsed is the JSON form of a TypeUsed.
type DocumentTypeUsed struct {
	Type string `json:"type"`
	Used int    `json:"used"`
}

func documentUsage(u Usage) DocumentUsage {
	d := DocumentUsage{Counts: []DocumentCount{}, Prefixes: []DocumentPrefix{}, Outside: u.Outside}
	for _, c := range u.Counts {
		d.Counts = append(d.Counts, DocumentCount(c))
	}
	for _, p := range u.Prefixes {
		row := DocumentPrefix{Source: p.Source, Network: p.Network, Prefix: p.Prefix.String(), NAT: p.NAT,
			Used: p.Used, Bits: p.hostBits(), Share: p.Share(), ByType: []DocumentTypeUsed{}}
		if n, exact := p.Capacity(); exact {
			row.Capacity = &n
			free, _ := p.Free()
			row.Free = &free
		}
		for _, t := range p.ByType {
			row.ByType = append(row.ByType, DocumentTypeUsed(t))
		}
		d.Prefixes = append(d.Prefixes, row)
	}
	return d
}

// DocumentAllocation is one element of the list "allocations" that Allocations
// writes as JSON, beside "schema".
type DocumentAllocation struct {
	Source  string `json:"source"`
	UsedBy  string `json:"used_by"`
	Address string `json:"address"`
	Kind    string `json:"kind"`
	Type    string `json:"type"`
	NAT     bool   `json:"nat"`
	HWAddr  string `json:"hwaddr"`
	Network string `json:"network"`
	Project string `json:"project"`
	Name    string `json:"name"`
	Dynamic bool   `json:"dynamic"`
	Inside  string `json:"inside"`   // of a floating address
	NextHop string `json:"next_hop"` // of a route
}

func allocationsJSON(w io.Writer, in []Allocation) error {
	o := newObject(w)
	o.value("schema", Schema)
	o.list("allocations", documents(in, func(a Allocation) any {
		d := DocumentAllocation{
			Source: a.Source, UsedBy: string(a.UsedBy), Address: a.Prefix.String(), Kind: a.Kind.String(), Type: a.Type,
			NAT: a.NAT, HWAddr: string(a.MAC), Network: a.Network, Project: a.Project, Name: a.Name, Dynamic: a.Dynamic,
		}
		if a.Inside.IsValid() {
			d.Inside = a.Inside.String()
		}
		if a.NextHop.IsValid() {
			d.NextHop = a.NextHop.String()
		}
		return d
	}))
	return o.close()
}
