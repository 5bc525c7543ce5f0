package report

import (
	"bufio"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"iter"
	"strconv"
	"strings"

	"allocsync/ipam"
	"allocsync/sync/plan"
)

//go:embed page.html.tmpl
var pageTemplate string

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

// HTML writes r as one file that needs nothing else: it loads nothing (a
// Content-Security-Policy says so to the browser), works without its script,
// which only filters rows, and is made for a screen, a phone and paper.
// Foreign text is escaped by html/template, after plain has made visible what
// a reader would not see. Numbers of rows link to NetBox where r.NetBox.URL
// is an address of the web.
func HTML(w io.Writer, r Report) error {
	link := linker(r.NetBox.URL)
	t, err := template.New("page").Funcs(template.FuncMap{
		"number": number, "plain": func(s any) string { return plain(text(s)) }, "shown": shown,
		"where": where, "whom": forWhom, "was": was, "wish": wish, "fields": fields, "extra": extra, "lost": lost, "diff": diff,
		"row": func(kind ipam.Kind, id int) rowLink { return rowLink{ID: id, Link: link(kind, id)} },
		"result": func(e entry, dryRun bool) outcome {
			o := outcome{rowLink: rowLink{ID: e.ID()}, Detail: plain(e.Detail())}
			if o.ID != 0 {
				o.Link = link(e.Record().Place.Kind, o.ID)
			}
			if !dryRun {
				o.Class, o.Sign, o.Status = class(e.Status), sign(e.Status), e.Status
			}
			return o
		},
	}).Parse(pageTemplate)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<16)
	if err := t.Execute(out, newPage(r)); err != nil {
		return err
	}
	return out.Flush()
}

// text is the text of a string or of one of our types that are strings.
func text(s any) string {
	switch s := s.(type) {
	case string:
		return s
	case ipam.UsedBy:
		return string(s)
	case plan.Reason:
		return string(s)
	}
	return ""
}

// webPage is what the template shows.
type webPage struct {
	*view
	Policy          string // Content-Security-Policy
	Style           template.CSS
	Script          template.JS
	Headline, Mode  string
	Verdict         string
	State           string // class of the headline: bad, held, good
	Circumstances   string
	Notes           []note
	Approve, Advice string
	Chips           []chip
	Blocks          []block
	Held, Changes   int
	Types, Networks chart
	NetworksLeft    int // prefixes that the chart leaves to the table
	Pages           []webTable
	Reserved        *webReservations // nil where no source holds addresses
}

// webTable gives the template a page.
type webTable struct{ page }

// Title, Heads, Lines and Below are the parts of the page.
func (t webTable) Title() string { return t.title }
func (t webTable) Below() string { return t.below }
func (t webTable) Heads() []webHead {
	heads := make([]webHead, len(t.heads))
	for i, h := range t.heads {
		heads[i] = webHead{h.title, h.right}
	}
	return heads
}
func (t webTable) Lines() iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		for row := range t.rows {
			if !yield(row.text) {
				return
			}
		}
	}
}

// webHead is a heading, and whether numbers stand below it.
type webHead struct {
	Title string
	Right bool
}

// chip is one count of the sticky summary.
type chip struct {
	Class, Sign, Name string
	Count             int
	Target            string // id of the section
}

// block is one source.
type block struct {
	*share
	ID      string
	Name    string
	Answer  string
	Segment []segment // of its rows
	Reasons []heldBatch
	Batches []changeBatch
}

// heldBatch is what is held for one reason.
type heldBatch struct {
	Reason plan.Reason
	Advice string
	Rows   []*plan.Held
	Open   bool
}

// changeBatch is changes of one action and reason.
type changeBatch struct {
	Action, Sign string
	Title        string
	Last         string // heading of the last column; "" where it would be empty
	Update       bool
	Waits        bool
	Rows         []entry
	Open         bool
}

// openRows is up to how many rows a group is shown unfolded: beyond, the
// groups below it would be hard to find.
const openRows = 200

func newPage(r Report) webPage {
	v := newView(r)
	p := webPage{
		view:     v,
		Policy:   "default-src 'none'; style-src '" + digest(pageStyle) + "'; script-src '" + digest(pageScript) + "'; base-uri 'none'; form-action 'none'",
		Style:    template.CSS(pageStyle),
		Script:   template.JS(pageScript),
		Headline: v.headline(), Mode: v.mode(), Verdict: v.verdict(), State: v.state(),
		Circumstances: v.circumstances(), Notes: v.notes(), Approve: v.approval(), Advice: v.approvalText(),
		Chips: append(v.chips(), v.Back.reservationChips()...), Held: v.Total.Held, Reserved: v.Back.webReservations(),
	}
	for i, s := range v.Shares {
		b := v.block(s, "source-"+strconv.Itoa(i+1))
		p.Changes += len(s.Changes)
		p.Blocks = append(p.Blocks, b)
	}
	if !r.Usage.Empty() {
		p.Types, p.Networks = r.Usage.typeChart(), r.Usage.networkChart()
		p.NetworksLeft = len(r.Usage.Prefixes) - len(p.Networks.Bars)
		for _, page := range r.Usage.pages(false) {
			p.Pages = append(p.Pages, webTable{page})
		}
	}
	return p
}

// digest is how a Content-Security-Policy names an inline script or style.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func (v *view) state() string {
	switch v.headline() {
	case "Needs a person", "Partly applied":
		return "bad"
	case "Would change NetBox", "Would change reservations", "Would change NetBox and reservations", "Nothing to write":
		return "held"
	}
	return "good"
}

func (v *view) chips() []chip {
	t := v.Total
	list := []chip{
		{"create", "+", "create", t.Create, "changes"},
		{"update", "±", "update", t.Update, "changes"},
		{"delete", "−", "delete", t.Delete, "changes"},
		{"held", "‖", "held", t.Held, "held"},
	}
	for _, status := range append([]string{"done"}, unfinished()...) {
		if n := t.count(status); n > 0 {
			list = append(list, chip{class(status), sign(status), status, n, "changes"})
		}
	}
	if t.Waiting > 0 {
		list = append(list, chip{"waiting", "…", "waiting", t.Waiting, "sources"})
	}
	return append(list, chip{"step", "=", "in step", t.InStep, "sources"})
}

// sign is a mark that tells states apart without colour.
func sign(s string) string {
	signs := map[string]string{"create": "+", "update": "±", "delete": "−", "done": "✓", "kept": "○", "refused": "✕",
		"failed": "!", "skipped": "»", notApproved: "?", planned: "·"}
	return signs[s]
}

func (v *view) block(s *share, id string) block {
	b := block{share: s, ID: id, Name: plain(s.Owner), Answer: s.answer(), Segment: s.segments()}
	for _, list := range s.reasons() {
		b.Reasons = append(b.Reasons, heldBatch{
			Reason: list[0].Reason, Advice: advice(list[0].Reason, b.Name), Rows: list, Open: len(list) <= openRows,
		})
	}
	for _, list := range s.batches() {
		action := list[0].Action
		last := "Result"
		switch {
		case v.DryRun && action == plan.Create:
			last = ""
		case v.DryRun:
			last = "Row"
		}
		b.Batches = append(b.Batches, changeBatch{
			Last:   last,
			Action: action.String(), Sign: sign(action.String()), Title: plain(string(list[0].Reason)),
			Update: action == plan.Update, Waits: v.waits(s), Rows: list, Open: len(list) <= openRows,
		})
	}
	return b
}

// difference is an old and a new value, cut into what both have and what not.
type difference struct {
	Old, New      string // the parts that differ
	Before, After string // what both begin and end with
	NoOld, NoNew  bool   // the value is empty
}

// diff finds what two values have in common at both ends.
func diff(f ipam.Field) difference {
	old, now := []rune(plain(f.Old)), []rune(plain(f.New))
	d := difference{NoOld: f.Old == "", NoNew: f.New == ""}
	if d.NoOld || d.NoNew {
		d.Old, d.New = string(old), string(now)
		return d
	}
	head := 0
	for head < min(len(old), len(now)) && old[head] == now[head] {
		head++
	}
	tail := 0
	for tail < min(len(old), len(now))-head && old[len(old)-1-tail] == now[len(now)-1-tail] {
		tail++
	}
	d.Before, d.After = string(old[:head]), string(old[len(old)-tail:])
	d.Old, d.New = string(old[head:len(old)-tail]), string(now[head:len(now)-tail])
	return d
}

// lost lists what the row in the way holds; none where it is the row that the
// line is about.
func lost(h *plan.Held) []ipam.Field {
	if h.Row.ID == 0 || h.Row.ID == h.Change.Before.ID {
		return nil
	}
	return fields(&plan.Change{Action: plan.Delete, Before: h.Row})
}

// outcome is the last cell of a change.
type outcome struct {
	rowLink
	Class, Sign, Status, Detail string
}

// rowLink is a row's number and the address of its page.
type rowLink struct {
	ID   int
	Link string
}

func class(status string) string { return strings.ReplaceAll(status, " ", "-") }

// linker makes the address of a row's page in NetBox; "" where base is no
// address of the web.
func linker(base string) func(kind ipam.Kind, id int) string {
	base = strings.TrimRight(base, "/")
	if !strings.HasPrefix(base, "https://") && !strings.HasPrefix(base, "http://") {
		return func(ipam.Kind, int) string { return "" }
	}
	return func(kind ipam.Kind, id int) string {
		path := "/ipam/ip-addresses/"
		if kind == ipam.Prefix {
			path = "/ipam/prefixes/"
		}
		return base + path + strconv.Itoa(id) + "/"
	}
}
