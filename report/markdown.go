package report

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"allocsync/sync/plan"
)

// Markdown writes r for a pull request, a ticket or a wiki: GitHub's Markdown,
// with tables. Foreign text stands in code spans, where it is no markup, no
// link, no mention of a person and no HTML.
//
// With o.Limit it ends where it would become longer, and says how many rows it
// leaves out. What needs a person and what is held stand in front.
func Markdown(w io.Writer, r Report, o Options) error {
	v := newView(r)
	m := newMarkdown(w, o)
	m.heading(v)
	m.notes(v)
	m.sources(v)
	m.held(v)
	m.reservations(v.Back)
	for _, s := range v.Shares {
		m.changes(v, s)
	}
	if !r.Usage.Empty() {
		for _, p := range r.Usage.pages(true) {
			m.page(p)
		}
	}
	return m.close()
}

// markdown writes blocks of text and rows until the limit is reached. From
// there on it only counts rows: no gaps in the middle, one remark at the end.
type markdown struct {
	out     *bufio.Writer
	limited bool
	left    int // bytes until the limit
	full    bool
	omitted int // rows
	line    bytes.Buffer
}

// remarkSize is kept free for the remark about what was left out.
const remarkSize = 256

func newMarkdown(w io.Writer, o Options) *markdown {
	return &markdown{out: bufio.NewWriterSize(w, 1<<16), limited: o.Limit > 0, left: o.Limit - remarkSize}
}

func (m *markdown) close() error {
	if m.full {
		fmt.Fprintf(m.out, "\n**%s not listed here:** the text would be too long. The report as HTML or JSON lists all.\n", rows(m.omitted))
	}
	return m.out.Flush()
}

// fits takes n bytes from what is left, unless that is too little.
func (m *markdown) fits(n int) bool {
	m.full = m.full || m.limited && n > m.left
	m.left -= n
	return !m.full
}

func (m *markdown) text(format string, args ...any) {
	m.line.Reset()
	fmt.Fprintf(&m.line, format, args...)
	if m.fits(m.line.Len()) {
		m.out.Write(m.line.Bytes())
	}
}

// row writes one row of a table, or leaves it out; cells are Markdown.
func (m *markdown) row(cells ...string) {
	m.line.Reset()
	for _, c := range cells {
		m.line.WriteString("| ")
		m.line.WriteString(c)
		m.line.WriteByte(' ')
	}
	m.line.WriteString("|\n")
	if m.fits(m.line.Len()) {
		m.out.Write(m.line.Bytes())
	} else {
		m.omitted++
	}
}

// table writes headings; those of columns of numbers begin with a "#".
func (m *markdown) table(heads ...string) {
	var names, rule strings.Builder
	for _, h := range heads {
		name, numeric := strings.CutPrefix(h, "#")
		names.WriteString("| " + name + " ")
		if numeric {
			rule.WriteString("| ---: ")
		} else {
			rule.WriteString("| --- ")
		}
	}
	m.text("%s|\n%s|\n", names.String(), rule.String())
}

// code writes foreign text as a code span. Only text without a backtick, a
// pipe or a backslash can stand between backticks in a table whatever reads
// it; other text goes into <code>, with every such character as an entity.
func code(s string) string {
	s = plain(s)
	switch {
	case strings.TrimSpace(s) == "":
		return "–"
	case !strings.ContainsAny(s, "`|\\"):
		return "`" + s + "`"
	}
	var b strings.Builder
	b.WriteString("<code>")
	for _, r := range s {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || r == ' ' {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, "&#%d;", r)
	}
	b.WriteString("</code>")
	return b.String()
}

// words writes a reason: as it is where it is nothing but words.
func words(s string) string {
	if strings.Trim(strings.ReplaceAll(s, "NetBox", ""), "abcdefghijklmnopqrstuvwxyz', ") == "" {
		return s
	}
	return code(s)
}

func (m *markdown) heading(v *view) {
	title := "Reconciliation report"
	if v.Installation != "" {
		title += " of " + code(v.Installation)
	}
	m.text("# %s: %s\n\n**%s** (%s)\n\n", title, v.headline(), v.verdict(), v.mode())
	if v.NetBox.URL != "" || v.NetBox.Version != "" {
		m.text("- NetBox %s at %s\n", code(v.NetBox.Version), code(v.NetBox.URL))
	}
	if text := v.circumstances(); text != "" {
		m.text("- %s\n", text)
	}
	if v.Digest != "" {
		m.text("- Digest of the plan: %s\n", code(v.Digest))
	}
	m.text("\n")
	if command := v.approval(); command != "" {
		m.text("%s\n\n```sh\n%s\n```\n\n", v.approvalText(), command)
	}
}

func (m *markdown) notes(v *view) {
	notes := v.notes()
	if len(notes) == 0 {
		return
	}
	m.text("## Attention\n\n")
	m.table("Source", "What", "Text", "What follows")
	for _, n := range notes {
		title := n.Title
		if n.Severe {
			title = "**" + title + "**"
		}
		m.row(code(n.Owner), title, code(n.Text), n.Advice)
	}
	m.text("\n")
}

func (m *markdown) sources(v *view) {
	if len(v.Shares) == 0 {
		return
	}
	m.text("## Sources\n\n")
	m.table("Source", "Answer", "#Rows", "#In step", "#Create", "#Update", "#Delete", "#Held", "#Waiting")
	line := func(name, answer string, s plan.Summary) {
		m.row(name, answer, number(s.Rows), number(s.InStep), number(s.Create), number(s.Update), number(s.Delete), number(s.Held), number(s.Waiting))
	}
	for _, s := range v.Shares {
		line(code(s.Owner), s.answer(), s.Summary)
	}
	if len(v.Shares) > 1 {
		line("**all**", "", v.Total.Summary)
	}
	m.text("\n")
}

func (m *markdown) held(v *view) {
	if v.Total.Held == 0 {
		return
	}
	m.text("## Held: %s\n\n", number(v.Total.Held))
	for _, s := range v.Shares {
		for _, group := range s.reasons() {
			reason := group[0].Reason
			m.text("### %s: %s (%s)\n\n", code(s.Owner), words(string(reason)), number(len(group)))
			if text := advice(reason, code(s.Owner)); text != "" {
				m.text("%s\n\n", text)
			}
			m.table("Address", "Used by", "Wanted", "In the way", "Note")
			for _, h := range group {
				r := h.Change.Record()
				m.row(code(where(r)), code(string(r.Attrs.UsedBy)), code(wanted(h)), code(inTheWay(h)), code(h.Note))
			}
			m.text("\n")
		}
	}
}

func (m *markdown) changes(v *view, s *share) {
	for _, list := range s.batches() {
		m.text("## %s\n\n", v.changesTitle(s, code(s.Owner), words(string(list[0].Reason)), list))
		heads := []string{"Address", "Used by", "Sets", "Result"}
		switch list[0].Action {
		case plan.Update:
			heads = []string{"Address", "Used by", "Field", "Old", "New", "Result"}
		case plan.Delete:
			heads[2] = "Was"
		}
		if v.DryRun {
			heads[len(heads)-1] = "Row"
		}
		m.table(heads...)
		for _, e := range list {
			m.change(v, e)
		}
		m.text("\n")
	}
}

func (m *markdown) change(v *view, e entry) {
	r := e.Record()
	last := code(e.result())
	if v.DryRun {
		last = "–"
		if id := e.ID(); id != 0 {
			last = "`#" + strconv.Itoa(id) + "`"
		}
	}
	if e.Action != plan.Update {
		m.row(code(where(r)), code(string(r.Attrs.UsedBy)), code(listed(extra(e.Change))), last)
		return
	}
	for i, f := range fields(e.Change) {
		if i == 0 {
			m.row(code(where(r)), code(string(r.Attrs.UsedBy)), f.Name, code(f.Old), code(f.New), last)
			continue
		}
		m.row("", "", f.Name, code(f.Old), code(f.New), "")
	}
}

func (m *markdown) page(p page) {
	if p.title != "" {
		m.text("## %s\n\n", p.title)
	}
	names := make([]string, len(p.heads))
	for i, h := range p.heads {
		names[i] = h.title
		if h.right {
			names[i] = "#" + h.title
		}
	}
	m.table(names...)
	for row := range p.rows {
		for i, text := range row.text {
			if !p.heads[i].right {
				row.text[i] = code(text)
			}
		}
		m.row(row.text...)
	}
	m.text("\n")
	if p.below != "" {
		m.text("%s\n\n", p.below)
	}
}
