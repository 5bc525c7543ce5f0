package page

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// frame is what every page has.
type frame struct {
	Title        string
	Installation string
	Version      string
	NetBoxURL    string // "" where it is no address of the web
	NetBoxPlain  string
	NetBox       string // its version
	Here         string // the path of this page, for the navigation
	Live         bool   // a script may fetch it again
	Running      bool
	Since, Next  time.Time
	Doing        string
	Now          time.Time
	Searches     bool   // there is a search
	Approves     bool   // plans can be approved
	Form         string // proves that an approval comes from a form of ours
	Query        string
	HeldAll      int
	ChangesAll   int
	PendingAll   int
}

func newFrame(v View, here string) frame {
	f := frame{
		Installation: v.Installation, Version: v.Version, NetBoxPlain: v.NetBoxURL, NetBox: v.NetBoxVersion, Here: here,
		Live: true, Running: v.Running, Since: v.Since, Next: v.Next, Doing: v.Doing, Now: v.Now,
		HeldAll: len(v.Plan.Held), ChangesAll: len(v.Plan.Changes), PendingAll: len(v.Pending),
	}
	if u, err := url.Parse(v.NetBoxURL); err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" {
		u.User, u.RawQuery, u.Fragment = nil, "", ""
		f.NetBoxURL = strings.TrimRight(u.String(), "/")
		f.NetBoxPlain = f.NetBoxURL
	}
	return f
}

// rowLink is a row's number and the address of its page in NetBox.
type rowLink struct {
	ID   int
	Link string
}

func (f frame) row(kind string, id int) rowLink {
	l := rowLink{ID: id}
	if f.NetBoxURL != "" && id > 0 {
		path := "/ipam/ip-addresses/"
		if kind == KindPrefix {
			path = "/ipam/prefixes/"
		}
		l.Link = f.NetBoxURL + path + strconv.Itoa(id) + "/"
	}
	return l
}

// changeRow is a change as it is shown.
type changeRow struct {
	Change
	Where  string
	Row    rowLink
	Shown  []difference
	Fields int // more than are shown
}

func (f frame) change(c Change) changeRow {
	shown, more := differences(c.Fields)
	return changeRow{Change: c, Where: where(c.Kind, c.Address, c.VRF), Row: f.row(c.Kind, c.RowID), Shown: shown, Fields: more}
}

func (f frame) changes(list []Change) []changeRow {
	rows := make([]changeRow, len(list))
	for i, c := range list {
		rows[i] = f.change(c)
	}
	return rows
}

// heldRow is something held and the row in its way.
type heldRow struct {
	changeRow
	Way      rowLink
	WayHolds []difference
	WayMore  int
	Note     string
}

// heldGroup is what is held of one source for one reason.
type heldGroup struct {
	Owner, Reason, Advice string
	Rows                  []heldRow
}

// held groups what comes one after the other with the same source, reason and
// advice.
func (f frame) held(list []Held) []heldGroup {
	var groups []heldGroup
	for _, h := range list {
		n := len(groups) - 1
		if n < 0 || groups[n].Owner != h.Owner || groups[n].Reason != h.Reason || groups[n].Advice != h.Advice {
			groups = append(groups, heldGroup{Owner: h.Owner, Reason: h.Reason, Advice: h.Advice})
			n++
		}
		row := heldRow{changeRow: f.change(h.Change), Way: f.row(h.InTheWay.Kind, h.InTheWay.ID), Note: h.Note}
		row.WayHolds, row.WayMore = differences(h.InTheWay.Fields)
		groups[n].Rows = append(groups[n].Rows, row)
	}
	return groups
}

// difference is an old and a new value, cut into what both have and what not.
type difference struct {
	Name, Old, New string // the parts that differ
	Before, After  string // what both begin and end with
	Both           bool   // there are an old and a new value
}

func differences(fields []Field) ([]difference, int) {
	fields, more := head(fields, shownFields)
	list := make([]difference, len(fields))
	for i, f := range fields {
		list[i] = diff(f)
	}
	return list, more
}

// diff finds what two values have in common at both ends.
func diff(f Field) difference {
	old, now := []rune(plain(f.Old)), []rune(plain(f.New))
	d := difference{Name: f.Name, Both: f.Old != "" && f.New != ""}
	if !d.Both {
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

// pendingBlock is a plan that waits, with the form that approves it.
type pendingBlock struct {
	Pending
	Number                    int
	Link                      string // to its own page
	Creates, Updates, Deletes int
	OwnersShown               []PendingOwner
	OwnersMore                int
	Lines                     []string
	LinesMore                 int
	Approves                  bool
	Form                      string
	Fault                     string // why the last attempt was refused
	Now                       time.Time
}

func (f frame) pending(p Pending, number, lines int) pendingBlock {
	b := pendingBlock{Pending: p, Number: number, Link: "/plans/" + url.PathEscape(p.Digest), Approves: f.Approves && digestible(p.Digest), Form: f.Form, Now: f.Now}
	for _, o := range p.Owners {
		b.Creates += o.Creates
		b.Updates += o.Updates
		b.Deletes += o.Deletes
	}
	b.OwnersShown, b.OwnersMore = head(p.Owners, shownOwners)
	b.Lines, b.LinesMore = head(p.Changes, lines)
	b.LinesMore += p.More
	return b
}

// pager is where one is in a long list.
type pager struct {
	From, To, All  int // 1 to 100 of 5,000
	Earlier, Later string
}

// onePage is how many entries of a list one page shows.
const onePage = 100

// paged cuts the part out of a list that begins at from.
func paged[T any](list []T, path string, from int) ([]T, pager) {
	from = max(0, min(from, len(list)-1)) / onePage * onePage
	to := min(len(list), from+onePage)
	p := pager{From: from + 1, To: to, All: len(list)}
	if from > 0 {
		p.Earlier = path + "?from=" + strconv.Itoa(from-onePage)
	}
	if to < len(list) {
		p.Later = path + "?from=" + strconv.Itoa(to)
	}
	return list[from:to], p
}

// digestible reports whether a digest looks like one: it goes into a form and
// into a command that people paste.
func digestible(s string) bool {
	return s != "" && len(s) <= 128 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}
