package plan

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Limit bounds what one pass may do to one source's rows without a person.
type Limit struct {
	Share    float64 // of the source's rows that may be updated or deleted, 0 to 1
	FromRows int     // the share counts from this many rows up
	Count    int     // updates and deletes that a source of fewer rows may see
}

// DefaultLimit is 30 % from 10 rows up, and 3 rows below.
func DefaultLimit() Limit { return Limit{Share: 0.30, FromRows: 10, Count: 3} }

// Limits holds the limit of every source.
type Limits struct {
	Default Limit
	Owners  map[string]Limit // overrides Default

	// Lost is how many rows an owner has lost, on balance, in passes that count
	// as one with this: a worker's of the last hour, say. Without it a source
	// that dwindles in small steps is emptied without one pass over its limit.
	Lost map[string]int

	// Released is the same for what an owner's source holds for NetBox.
	Released map[string]int
}

// DefaultLimits applies DefaultLimit to every source.
func DefaultLimits() Limits { return Limits{Default: DefaultLimit()} }

func (l Limits) of(owner string) Limit {
	if limit, ok := l.Owners[owner]; ok {
		return limit
	}
	return l.Default
}

// Approved is a plan that has been checked against limits or confirmed by a
// person. apply.Run takes nothing else, so a plan that nobody checked does
// not compile.
type Approved struct{ plan Plan }

// Changes lists what may be carried out, in the order of the plan.
func (a Approved) Changes() []Change { return a.plan.Changes }

// Excess is a source that is over its limit.
type Excess struct {
	Owner   string
	Rows    int // NetBox holds for it
	Changes int // updates and deletes planned
	Text    string
}

// TooMuch says which sources are over their limits, with the numbers.
type TooMuch struct{ Sources []Excess }

func (e *TooMuch) Error() string {
	texts := make([]string, len(e.Sources))
	for i, s := range e.Sources {
		texts[i] = s.Owner + ": " + s.Text
	}
	return "over the limits: " + strings.Join(texts, "; ")
}

// Approve checks each source against its limit, its rows in NetBox and the
// reservations that it holds each by themselves. A source over it has none of
// its changes in the Approved, also none that takes a row away from it, in
// neither direction, and the error is a *TooMuch that names it; the other
// sources' changes are in the Approved all the same. The error is nil where no
// source is over.
func (p Plan) Approve(l Limits) (Approved, error) {
	var excess []Excess
	over := map[string]bool{}
	exceed := func(s Summary, text string) {
		switch {
		case text == "":
		case over[s.Owner]: // by its rows in NetBox too
			i := slices.IndexFunc(excess, func(e Excess) bool { return e.Owner == s.Owner })
			excess[i].Text += "; " + text
			excess[i].Rows, excess[i].Changes = excess[i].Rows+s.Rows, excess[i].Changes+s.Update+s.Delete
		default:
			excess = append(excess, Excess{Owner: s.Owner, Rows: s.Rows, Changes: s.Update + s.Delete, Text: text})
			over[s.Owner] = true
		}
	}
	for _, s := range p.Sources {
		exceed(s, l.of(s.Owner).exceeded(s, l.Lost[s.Owner], ofRows()))
	}
	if p.Reservations != nil {
		for _, s := range p.Reservations.Sources {
			exceed(s, l.of(s.Owner).exceeded(s, l.Released[s.Owner], ofReservations()))
		}
	}
	if len(excess) == 0 {
		return Approved{p}, nil
	}
	p = p.without(over)
	if p.Reservations != nil {
		back := p.Reservations.without(over)
		p.Reservations = &back
	}
	return Approved{p}, &TooMuch{excess}
}

// without returns p without the changes of some owners.
func (p Plan) without(owners map[string]bool) Plan {
	p.Changes = slices.DeleteFunc(slices.Clone(p.Changes), func(c Change) bool {
		return owners[c.Owner] || owners[c.Before.Owner]
	})
	return p
}

// terms is how texts call what a limit protects.
type terms struct {
	one, many string
	nothing   string // why none are wanted any more
	ending    string // what deleting one is called
	ended     string // what is said of those that went before
}

func ofRows() terms {
	return terms{"row", "rows", "the source lists nothing any more", "deleted", "lost"}
}

func ofReservations() terms {
	return terms{"reservation", "reservations", "NetBox asks for nothing there any more", "released", "released"}
}

func (t terms) count(n int) string {
	if n == 1 {
		return "1 " + t.one
	}
	return fmt.Sprintf("%d %s", n, t.many)
}

// exceeded says in what way s is over the limit, "" where it is not. Lost counts
// where the pass would remove more.
func (l Limit) exceeded(s Summary, lost int, t terms) string {
	rows := t.count
	touched := s.Update + s.Delete
	removed := s.Delete + s.Marked
	what := fmt.Sprintf("%s of %d would be changed (%d updated, %d %s)", rows(touched), s.Rows, s.Update, s.Delete, t.ending)
	had := s.Rows
	if removed > 0 && lost > 0 {
		touched, had = touched+lost, had+lost
		what += fmt.Sprintf(", after %s %s shortly before", rows(lost), t.ended)
	}
	switch {
	case s.Claims == 0 && s.Rows >= 2 && removed > 0:
		many := "all"
		if removed < s.Rows {
			many = strconv.Itoa(removed)
		}
		return fmt.Sprintf("%s, and %s of its %s would be removed", t.nothing, many, rows(s.Rows))
	case s.empties():
		return fmt.Sprintf("none of its %s would be left, and none take their place", rows(s.Rows))
	case had >= l.FromRows && float64(touched) > l.Share*float64(had)+rounding:
		return fmt.Sprintf("%s, %s is over the limit of %s", what, percent(float64(touched)/float64(max(had, 1))), percent(l.Share))
	case had < l.FromRows && touched > l.Count:
		return fmt.Sprintf("%s, over the limit of %d for a source of fewer than %s", what, l.Count, rows(l.FromRows))
	}
	return ""
}

// empties reports whether s loses every row that it has and gets no other,
// whatever it claims: claims that are held fill nothing.
func (s Summary) empties() bool {
	removed := s.Delete + s.Marked
	gets := s.Create + s.Update - s.Marked
	return s.Rows >= 2 && removed > 0 && removed+s.Waiting >= s.Rows && gets == 0
}

// rounding is how much of a share floating point may get wrong: 0.29 of 100 is
// a little less than 29.
const rounding = 1e-9

// percent rounds up to a tenth, so that what is over a limit looks so.
func percent(share float64) string {
	return strconv.FormatFloat(math.Ceil(max(0, 1000*share-rounding))/10, 'f', -1, 64) + " %"
}

// ApproveDigest lets a person's word stand in for the limits: the whole plan
// is approved if digest is still its digest.
func (p Plan) ApproveDigest(digest string) (Approved, error) {
	if now := p.Digest(); digest != now {
		return Approved{}, fmt.Errorf("approve %s: the plan has changed since, its digest is %s now; look at a new dry run and approve that", digest, now)
	}
	return Approved{p}, nil
}
