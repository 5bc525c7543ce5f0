package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"allocsync/ipam"
)

// String is the change in one line: what, where, for whom, why, and every
// field with its old and new value.
func (c Change) String() string {
	r := c.Record()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s, %s of %s: %s", c.Action, where(r), r.Attrs.UsedBy, c.Owner, c.Reason)
	for i, f := range c.Fields() {
		sep := ", "
		if i == 0 {
			sep = ": "
		}
		fmt.Fprintf(&b, "%s%s %q -> %q", sep, f.Name, f.Old, f.New)
	}
	return b.String()
}

// Fields lists what the change writes. For a Create the old values are empty,
// for a Delete there are none.
func (c Change) Fields() []ipam.Field {
	switch c.Action {
	case Create:
		return ipam.Edit{Before: ipam.Stored{Record: ipam.Record{Place: c.After.Place, Attrs: ipam.Attrs{Mask: c.After.Attrs.Mask}}}, After: c.After}.Fields()
	case Update:
		return c.Edit().Fields()
	}
	return nil
}

// String is what is held in one line: what was wanted, why it is held, and
// the row in the way.
func (h Held) String() string {
	r := h.Change.Record()
	var b strings.Builder
	fmt.Fprintf(&b, "hold %s %s, %s of %s: %s", h.Change.Action, where(r), r.Attrs.UsedBy, h.Change.Owner, h.Reason)
	if h.Row.ID != 0 {
		fmt.Fprintf(&b, " (ID %d", h.Row.ID)
		if h.Row.Attrs.UsedBy != "" && h.Row.Attrs.UsedBy != r.Attrs.UsedBy {
			fmt.Fprintf(&b, ", %s", h.Row.Attrs.UsedBy)
		}
		b.WriteString(")")
	}
	if h.Note != "" {
		b.WriteString(": " + h.Note)
	}
	return b.String()
}

func where(r ipam.Record) string {
	if r.Place.VRF == "" {
		return r.CIDR().String()
	}
	return r.CIDR().String() + " in VRF " + r.Place.VRF
}

// Digest is a short text that is the same for the same changes: what a person
// approves. It depends neither on the order of the input nor on the time.
func (p Plan) Digest() string {
	h := sha256.New()
	for _, c := range p.Changes {
		c.digest(h)
	}
	p.digestBack(h)
	return hex.EncodeToString(h.Sum(nil))[:16]
}

func (c Change) digest(w io.Writer) {
	r := c.Record()
	fmt.Fprintf(w, "%s\x00%s\x00%s\x00%d\x00%s\x00%s\x00%s\x00%s\x00%s\n", c.Action, c.Reason, c.Owner, c.Before.ID, c.Before.Owner, r.Place.VRF, r.Place.Kind, r.CIDR(), r.Attrs.UsedBy)
	for _, f := range c.Fields() {
		if f.Name == ipam.GoneSinceField && f.New != "" {
			f.New = "now" // the moment of the mark is not what is approved
		}
		fmt.Fprintf(w, "\t%s\x00%s\x00%s\n", f.Name, f.Old, f.New)
	}
}
