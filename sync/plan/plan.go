package plan

import (
	"fmt"
	"strings"
	"time"

	"allocsync/ipam"
)

// Input is everything that a plan is made from. Compute leaves it untouched.
type Input struct {
	// Now decides when a row that is gone has been gone long enough.
	Now time.Time

	// Sources are the configured sources in the order of the configuration:
	// where several claim one place and none holds it, the first gets it.
	Sources []Source

	// Claims are the rows wanted, in any order. Owner names the source; a
	// claim of an owner that is not among Sources is held.
	Claims []ipam.Claim

	// Current are rows that NetBox holds, in any order: all rows of every
	// owner among Sources, and every row, whoever owns it, at a claimed place.
	Current []ipam.Stored
}

// Source is how one source answered in this pass, and what it may do.
type Source struct {
	Owner   string   // INSTALLATION/SOURCE
	Missing []string // parts that could not be read, with the reason; none means a complete answer
	Allow   Allow
	Gone    Gone
}

// Complete reports whether what the source does not claim may be taken to be
// gone.
func (s Source) Complete() bool { return len(s.Missing) == 0 }

// missing names the first few parts that could not be read: it stands at every
// row that is held because of them, and there may be many of both.
func (s Source) missing() string {
	const few = 3
	if len(s.Missing) <= few {
		return strings.Join(s.Missing, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(s.Missing[:few], "; "), len(s.Missing)-few)
}

// Allow says which actions a source may take; what it may not is held.
type Allow struct{ Create, Update, Delete bool }

// AllowAll lets a source do everything.
func AllowAll() Allow { return Allow{Create: true, Update: true, Delete: true} }

// Gone says what happens to a row whose user the source no longer lists.
type Gone struct {
	// Deprecate marks the row first (status deprecated, gone_since) and
	// deletes it once After is over. Without it the row is deleted at once.
	Deprecate bool
	After     time.Duration
}

// Action is what is done to a row.
type Action uint8

// The actions, in the order in which reports list them.
const (
	Create Action = iota + 1
	Update
	Delete
)

// String returns "create", "update" or "delete".
func (a Action) String() string {
	switch a {
	case Create:
		return "create"
	case Update:
		return "update"
	case Delete:
		return "delete"
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// MarshalText writes the action as String does.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// Reason says in a few words why something is done or held. Each is also the
// text that reports show.
type Reason string

// Why something is done.
const (
	New        Reason = "new at the source"
	Changed    Reason = "changed at the source"
	Renumbered Reason = "renumbered"
	Moved      Reason = "moved to another VRF"
	Handover   Reason = "handed over from another source"
	Revived    Reason = "back at the source"
	NowGone    Reason = "no longer at the source"
	GoneLong   Reason = "no longer at the source for the configured time"
	Duplicate  Reason = "second row for the same place"
	Reserved   Reason = "reservation is in use"
)

// Why something is held.
const (
	Unmanaged    Reason = "somebody else's row is there"
	OtherOwner   Reason = "the row belongs to another owner"
	UnknownOwner Reason = "the row's owner is not configured here"
	Contested    Reason = "claimed more than once"
	Incomplete   Reason = "the source did not answer in full"
	NotAllowed   Reason = "switched off by policy"
)

// Change is one thing to do, to one row.
type Change struct {
	Action Action
	Reason Reason

	// Owner is the source whose limits and policy the change counts against:
	// the one that claims the place, or for a Delete the one that owned it.
	Owner string

	Before ipam.Stored // the row as read; zero for a Create
	After  ipam.Record // the row as wanted; zero for a Delete
}

// Edit returns the before and after of an Update.
func (c Change) Edit() ipam.Edit { return ipam.Edit{Before: c.Before, After: c.After} }

// Held is something that was not planned although a claim or a row asked for
// it. Nothing is held in silence: every claim and every own row ends up in
// step, in Changes or here.
type Held struct {
	Reason Reason
	Change Change // what would have been done; its Reason is why it was wanted

	// Row is the row in the way: at the wanted place, or the row itself that
	// is kept. Zero where no row but another claim is in the way: Note names it.
	Row ipam.Stored

	// Note completes the reason: who else claims the place, or what part of
	// the source is missing.
	Note string
}

// Plan is what a pass would do, in a fixed order: Changes by action and then
// row, Held by place.
type Plan struct {
	Changes []Change
	Held    []Held
	Sources []Summary // one for each of Input.Sources, in their order

	// Reservations is the way back: what would be reserved, changed and released
	// at the sources. Compute leaves it nil; see package sync/reserve. It has no
	// Reservations of its own.
	Reservations *Plan
}

// Summary counts one source's share of a plan.
type Summary struct {
	Owner   string
	Missing []string // as in Source
	Claims  int      // rows wanted
	Rows    int      // rows NetBox holds for it
	InStep  int      // claims whose row needs nothing
	Waiting int      // rows gone at the source whose time is not over
	Create  int
	Update  int
	Delete  int
	Held    int

	// Marked is how many of Update mark a row as gone: they count as deletes
	// against the limits.
	Marked int
}

// Empty reports whether there is nothing to do. Something may be held.
func (p Plan) Empty() bool {
	return len(p.Changes) == 0 && (p.Reservations == nil || p.Reservations.Empty())
}
