package report

import (
	"bufio"
	"iter"
	"slices"
	"sort"
	"strings"
)

// grid draws rows as a table with borders, in the look of LXD's and Incus's
// own command line:
//
//	+----------------------+----------------+
//	|       USED BY        |    ADDRESS     |
//	+----------------------+----------------+
//	| /1.0/networks/lxdbr0 | 10.1.2.1/24    |
//	+----------------------+----------------+
//
// It goes through the rows twice, first to measure and then to write, and
// keeps none of them, so that its memory does not grow with their number.
type grid struct {
	out   *bufio.Writer
	width int  // columns of the terminal
	rules bool // a line between rows
	paint painter
}

// cells is one row of a grid, or one line of a row that goes on below it.
type cells struct {
	text  []string // plain
	more  bool     // belongs to the row above: no rule between
	color color    // of the first cell
}

// column is a heading and how its column is drawn.
type column struct {
	title    string
	keep     int  // percent of the terminal below which it is not broken if that can be helped
	right    bool // numbers
	optional bool // left out where every cell is empty
}

// narrowest is what every column keeps, in columns of the terminal.
const narrowest = 8

func (g grid) draw(heads []column, rows iter.Seq[cells]) {
	widths, empty := measure(heads, rows)
	if slices.Contains(empty, true) {
		heads, rows, widths = without(empty, heads, rows, widths)
	}
	if !fit(heads, widths, g.width) {
		g.stack(heads, rows)
		return
	}
	rule := ruler(widths)
	g.out.WriteString(rule)
	for i, h := range heads {
		gap := widths[i] - columns(h.title)
		g.out.WriteString("| " + strings.Repeat(" ", gap/2) + g.paint.text(bold, strings.ToUpper(h.title)) + strings.Repeat(" ", gap-gap/2) + " ")
	}
	g.out.WriteString("|\n" + rule)
	first := true
	for row := range rows {
		if g.rules && !first && !row.more {
			g.out.WriteString(rule)
		}
		first = false
		g.row(row, heads, widths)
	}
	g.out.WriteString(rule)
}

func (g grid) row(row cells, heads []column, widths []int) {
	lines := make([][]string, len(widths))
	height := 1
	for i, text := range row.text {
		lines[i] = wrap(text, widths[i])
		height = max(height, len(lines[i]))
	}
	for n := range height {
		for i, width := range widths {
			text := ""
			if n < len(lines[i]) {
				text = lines[i][n]
			}
			pad := strings.Repeat(" ", max(0, width-columns(text)))
			if i == 0 {
				text = g.paint.text(row.color, text)
			}
			if heads[i].right {
				text, pad = pad, text
			}
			g.out.WriteString("| ")
			g.out.WriteString(text)
			g.out.WriteString(pad)
			g.out.WriteByte(' ')
		}
		g.out.WriteString("|\n")
	}
}

// stack writes rows below each other, for terminals too narrow for columns.
func (g grid) stack(heads []column, rows iter.Seq[cells]) {
	label := 0
	for _, h := range heads {
		label = max(label, columns(h.title))
	}
	first := true
	for row := range rows {
		if !row.more && !first {
			g.out.WriteByte('\n')
		}
		first = false
		for i, text := range row.text {
			if text == "" {
				continue
			}
			name := strings.ToUpper(heads[i].title) + strings.Repeat(" ", label-columns(heads[i].title)+1)
			for n, line := range wrap(text, max(g.width-label-1, narrowest)) {
				if n > 0 {
					name = strings.Repeat(" ", label+1)
				}
				c := row.color
				if i > 0 {
					c = none
				}
				g.out.WriteString(name + g.paint.text(c, line) + "\n")
			}
		}
	}
}

// measure returns the widest text of every column, and which optional columns
// hold none at all.
func measure(heads []column, rows iter.Seq[cells]) (widths []int, empty []bool) {
	widths = make([]int, len(heads))
	for row := range rows {
		for i, text := range row.text {
			widths[i] = max(widths[i], columns(text))
		}
	}
	empty = make([]bool, len(heads))
	for i, h := range heads {
		empty[i] = h.optional && widths[i] == 0
		widths[i] = max(widths[i], columns(h.title))
	}
	return widths, empty
}

// without leaves columns out.
func without(drop []bool, heads []column, rows iter.Seq[cells], widths []int) ([]column, iter.Seq[cells], []int) {
	return kept(drop, heads), func(yield func(cells) bool) {
		for row := range rows {
			row.text = kept(drop, row.text)
			if !yield(row) {
				return
			}
		}
	}, kept(drop, widths)
}

func kept[T any](drop []bool, in []T) []T {
	out := make([]T, 0, len(in))
	for i, t := range in {
		if !drop[i] {
			out = append(out, t)
		}
	}
	return out
}

// fit narrows the widest columns to one width until the grid fits, and reports
// whether it does. What columns want to keep is halved before it gives up.
func fit(heads []column, widths []int, width int) bool {
	for _, part := range []int{1, 2} {
		floor := make([]int, len(widths))
		for i, h := range heads {
			floor[i] = min(widths[i], max(columns(h.title), h.keep*width/100/part, narrowest))
		}
		if narrow(widths, floor, width) {
			return true
		}
	}
	return false
}

// narrow lowers widths to the highest level at which the grid fits, but none
// below its floor.
func narrow(widths, floor []int, width int) bool {
	at := func(level int) (lowered []int, total int) {
		lowered = make([]int, len(widths))
		total = 1
		for i, n := range widths {
			lowered[i] = max(floor[i], min(n, level))
			total += lowered[i] + 3
		}
		return lowered, total
	}
	level := sort.Search(slices.Max(widths)+1, func(level int) bool {
		_, total := at(level)
		return total > width
	}) - 1
	if level < 0 {
		return false
	}
	lowered, total := at(level)
	for i := range lowered { // what is left over goes to the first that need it
		if more := min(width-total, widths[i]-lowered[i]); more > 0 {
			lowered[i] += more
			total += more
		}
	}
	copy(widths, lowered)
	return true
}

func ruler(widths []int) string {
	var b strings.Builder
	for _, n := range widths {
		b.WriteByte('+')
		b.WriteString(strings.Repeat("-", n+2))
	}
	b.WriteString("+\n")
	return b.String()
}

// color is one of the few that a terminal shows on any background.
type color uint8

const (
	none color = iota
	bold
	green
	yellow
	red
	magenta
	faint
)

// painter colours text, or leaves it as it is.
type painter struct{ on bool }

func (p painter) text(c color, s string) string {
	if !p.on || c == none || s == "" {
		return s
	}
	code := [...]string{none: "0", bold: "1", green: "32", yellow: "33", red: "31", magenta: "35", faint: "2"}[c]
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
