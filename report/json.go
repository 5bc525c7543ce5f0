package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"math"
	"time"
	"unicode/utf8"

	"allocsync/ipam"
	"allocsync/sync/plan"
)

// Schema is the version of Document. It grows when a key changes its meaning
// or goes away, not when one is added.
const Schema = 1

// Document is the JSON form of a Report, one object:
//
//   - every key is always there, but for reservations, which is left out where
//     no source holds addresses for NetBox; an empty list is [], an unknown text
//     "", and null is used only for a row or a capacity that there is none of;
//   - lists are in the order of the report: sources as configured, held and
//     changes in the order of the plan, whatever source they are of;
//   - times are RFC 3339 in UTC, addresses canonical with their length;
//   - each element of held and changes stands on a line of its own, so that
//     line tools can find and compare them;
//   - characters that a terminal would obey are written as \u escapes.
type Document struct {
	Schema       int               `json:"schema"`
	Installation string            `json:"installation"`
	DryRun       bool              `json:"dry_run"`
	Headline     string            `json:"headline"` // in a few words; for people, not for programs
	Verdict      string            `json:"verdict"`  // in one sentence; likewise
	NetBox       DocumentNetBox    `json:"netbox"`
	Started      string            `json:"started"`
	TookSeconds  float64           `json:"took_seconds"`
	Digest       string            `json:"digest"`
	Approve      string            `json:"approve"` // the command; "" where there is nothing to approve
	Error        string            `json:"error"`   // why a run ended early
	Totals       DocumentTotals    `json:"totals"`
	Exceeded     []DocumentProblem `json:"exceeded"`
	Unreachable  []DocumentProblem `json:"unreachable"`
	Problems     []DocumentProblem `json:"problems"`
	Requests     DocumentRequests  `json:"requests"`
	Usage        DocumentUsage     `json:"usage"`
	Sources      []DocumentSource  `json:"sources"`
	Held         []DocumentHeld    `json:"held"`
	Changes      []DocumentChange  `json:"changes"`

	// The way back, which none of the above counts.
	Reservations *DocumentReservations `json:"reservations,omitempty"`
}

// DocumentNetBox is the server.
type DocumentNetBox struct {
	URL     string `json:"url"`
	Version string `json:"version"`
}

// DocumentProblem is something wrong, with the source it is about.
type DocumentProblem struct {
	Owner string `json:"owner"`
	Text  string `json:"text"`
}

// DocumentRequests is the cost at NetBox.
type DocumentRequests struct {
	Sent    int `json:"sent"`
	Read    int `json:"rows_read"`
	Written int `json:"rows_written"`
}

// DocumentTotals adds up the sources, and counts changes by their status.
type DocumentTotals struct {
	DocumentCounts
	Done        int `json:"done"`
	Kept        int `json:"kept"`
	Refused     int `json:"refused"`
	Failed      int `json:"failed"`
	Skipped     int `json:"skipped"`
	NotApproved int `json:"not_approved"`
}

// DocumentCounts counts rows; see plan.Summary.
type DocumentCounts struct {
	Claims  int `json:"claims"`
	Rows    int `json:"rows"`
	InStep  int `json:"in_step"`
	Waiting int `json:"waiting"`
	Create  int `json:"create"`
	Update  int `json:"update"`
	Delete  int `json:"delete"`
	Marked  int `json:"marked"`
	Held    int `json:"held"`
}

// DocumentSource is one source's share. Configured is false for an owner that
// is known only by its rows.
type DocumentSource struct {
	Owner      string   `json:"owner"`
	Configured bool     `json:"configured"`
	Complete   bool     `json:"complete"`
	Missing    []string `json:"missing"`
	DocumentCounts
}

// DocumentChange is a change. Status is planned, not approved, done, kept,
// refused, failed or skipped; Detail is NetBox's words or why a row was kept.
// ID is the row's number in NetBox, 0 where there is none.
type DocumentChange struct {
	Action  string          `json:"action"` // create, update, delete
	Reason  string          `json:"reason"`
	Owner   string          `json:"owner"`
	Kind    string          `json:"kind"` // prefix, address
	Address string          `json:"address"`
	VRF     string          `json:"vrf"`
	UsedBy  string          `json:"used_by"`
	ID      int             `json:"id"`
	Status  string          `json:"status"`
	Detail  string          `json:"detail"`
	Fields  []DocumentField `json:"fields"`
}

// DocumentField is a field before and after, named as NetBox names it. For a
// create the old value is "", for a delete the new one.
type DocumentField struct {
	Name string `json:"name"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

// DocumentHeld is a change that was not planned, why, and what to do about it.
type DocumentHeld struct {
	Reason string         `json:"reason"`
	Note   string         `json:"note"`
	Advice string         `json:"advice"`
	Change DocumentChange `json:"change"` // its status is held
	Row    *DocumentRow   `json:"row"`    // in the way; null where the place is free
}

// DocumentRow is a row of NetBox.
type DocumentRow struct {
	ID          int             `json:"id"`
	Owner       string          `json:"owner"`
	Address     string          `json:"address"`
	VRF         string          `json:"vrf"`
	LastUpdated string          `json:"last_updated"`
	ReserveAt   string          `json:"reserve_at"`
	Fields      []DocumentField `json:"fields"` // what it holds, as old values
}

// JSON writes r as a Document, row by row: it holds no more than one in memory.
func JSON(w io.Writer, r Report) error {
	v := newView(r)
	o := newObject(w)
	o.value("schema", Schema)
	o.value("installation", v.Installation)
	o.value("dry_run", v.DryRun)
	o.value("headline", v.headline())
	o.value("verdict", v.verdict())
	o.value("netbox", DocumentNetBox(v.NetBox))
	o.value("started", stamp(v.Started))
	o.value("took_seconds", math.Round(v.Took.Seconds()*1e6)/1e6)
	o.value("digest", v.Digest)
	o.value("approve", v.approval())
	o.value("error", v.stopped())
	o.value("totals", v.documentTotals())
	o.list("exceeded", documents(v.Exceeded, func(e Exceeded) any { return DocumentProblem(e) }))
	o.list("unreachable", documents(v.Unreachable, func(p Problem) any { return DocumentProblem(p) }))
	o.list("problems", documents(v.Problems, func(p Problem) any { return DocumentProblem(p) }))
	o.value("requests", DocumentRequests(v.Requests))
	o.value("usage", documentUsage(v.Usage))
	o.list("sources", documents(v.Shares, func(s *share) any { return documentSource(s) }))
	o.list("held", documents(v.Plan.Held, func(h plan.Held) any { return documentHeld(h) }))
	o.list("changes", documents(entries(r), func(e entry) any { return documentChange(e) }))
	if v.Back != nil {
		o.object("reservations", v.Back.documentReservations)
	}
	return o.close()
}

func documents[T any](in []T, convert func(T) any) iter.Seq[any] {
	return func(yield func(any) bool) {
		for _, t := range in {
			if !yield(convert(t)) {
				return
			}
		}
	}
}

func (v *view) stopped() string {
	if v.Result == nil || v.Result.Err == nil {
		return ""
	}
	return v.Result.Err.Error()
}

func (v *view) documentTotals() DocumentTotals {
	t := v.Total
	return DocumentTotals{
		DocumentCounts: documentCounts(t.Summary),
		Done:           t.count("done"), Kept: t.count("kept"), Refused: t.count("refused"),
		Failed: t.count("failed"), Skipped: t.count("skipped"), NotApproved: t.NotApproved,
	}
}

func documentCounts(s plan.Summary) DocumentCounts {
	return DocumentCounts{Claims: s.Claims, Rows: s.Rows, InStep: s.InStep, Waiting: s.Waiting,
		Create: s.Create, Update: s.Update, Delete: s.Delete, Marked: s.Marked, Held: s.Held}
}

func documentSource(s *share) DocumentSource {
	return DocumentSource{Owner: s.Owner, Configured: s.Configured, Complete: s.Configured && s.Complete(),
		Missing: append([]string{}, s.Missing...), DocumentCounts: documentCounts(s.Summary)}
}

func documentChange(e entry) DocumentChange {
	r := e.Record()
	return DocumentChange{
		Action: e.Action.String(), Reason: string(e.Reason), Owner: e.Owner,
		Kind: r.Place.Kind.String(), Address: r.CIDR().String(), VRF: r.Place.VRF, UsedBy: string(r.Attrs.UsedBy),
		ID: e.ID(), Status: e.Status, Detail: e.Detail(), Fields: documentFields(fields(e.Change)),
	}
}

func documentFields(in []ipam.Field) []DocumentField {
	out := make([]DocumentField, len(in))
	for i, f := range in {
		out[i] = DocumentField(f)
	}
	return out
}

func documentHeld(h plan.Held) DocumentHeld {
	d := DocumentHeld{
		Reason: string(h.Reason), Note: h.Note, Advice: advice(h.Reason, h.Change.Owner),
		Change: documentChange(entry{Change: &h.Change, Status: "held"}),
	}
	if h.Row.ID != 0 {
		row := plan.Change{Action: plan.Delete, Before: h.Row}
		d.Row = &DocumentRow{
			ID: h.Row.ID, Owner: h.Row.Owner, Address: h.Row.CIDR().String(), VRF: h.Row.Place.VRF,
			LastUpdated: stamp(h.Row.LastUpdated), ReserveAt: h.Row.ReserveAt, Fields: documentFields(fields(&row)),
		}
	}
	return d
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// object writes a JSON object key by key, each on a line of its own. It keeps
// the first error and does nothing after it.
type object struct {
	out    *bufio.Writer
	buf    bytes.Buffer
	indent string // of its keys
	first  bool
	err    error
}

func newObject(w io.Writer) *object {
	o := &object{out: bufio.NewWriterSize(w, 1<<16), indent: "  ", first: true}
	o.out.WriteString("{")
	return o
}

func (o *object) key(name string) {
	if !o.first {
		o.out.WriteByte(',')
	}
	o.first = false
	fmt.Fprintf(o.out, "\n%s%q: ", o.indent, name)
}

func (o *object) value(name string, v any) {
	o.key(name)
	o.encode(v)
}

func (o *object) list(name string, values iter.Seq[any]) {
	o.key(name)
	o.out.WriteByte('[')
	first := true
	for v := range values {
		if !first {
			o.out.WriteByte(',')
		}
		first = false
		o.out.WriteString("\n" + o.indent + "  ")
		if o.encode(v); o.err != nil {
			return
		}
	}
	if !first {
		o.out.WriteString("\n" + o.indent)
	}
	o.out.WriteByte(']')
}

// object writes an object within this one; fill writes its keys.
func (o *object) object(name string, fill func(*object)) {
	o.key(name)
	o.out.WriteByte('{')
	outer := o.indent
	o.indent, o.first = outer+"  ", true
	fill(o)
	o.indent, o.first = outer, false
	o.out.WriteString("\n" + outer + "}")
}

func (o *object) encode(v any) {
	if o.err != nil {
		return
	}
	o.buf.Reset()
	if o.err = json.NewEncoder(&o.buf).Encode(v); o.err != nil {
		return
	}
	visible(o.out, bytes.TrimSuffix(o.buf.Bytes(), []byte("\n")))
}

func (o *object) close() error {
	o.out.WriteString("\n}\n")
	if o.err != nil {
		return fmt.Errorf("write JSON: %w", o.err)
	}
	return o.out.Flush()
}

// visible copies JSON text, writing as \u escapes what encoding/json leaves as
// it is although a terminal obeys it: C1 controls, which begin sequences as
// ESC does, and invisible characters. Outside of strings there are none.
func visible(out *bufio.Writer, text []byte) {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r < 0x7f || !hidden(r):
			out.Write(text[:size])
		case r < 0x10000:
			fmt.Fprintf(out, `\u%04x`, r)
		default:
			r -= 0x10000
			fmt.Fprintf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
		text = text[size:]
	}
}
