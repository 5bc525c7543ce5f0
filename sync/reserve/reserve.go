// Package reserve is the way back: what people reserve in NetBox is held at the
// sources. It plans with package plan, the arrows reversed: the rows of NetBox
// are what is wanted, and what a source holds is what there is.
//
// # What is asked for
//
// A row of an address asks for a reservation where its custom field reserve_at
// names a source, INSTALLATION/SOURCE. Where hwaddr is set it is for that MAC,
// where used_by is set for that node or instance; both may be empty. The row
// has to be nobody's, or that source's own.
//
// # Whose a reservation is
//
// One that a source holds is ours, to change and to release, if the ledger says
// that it was made here for that network, address, MAC and user, and the mark
// at the source says the same where there is room for one. All others are
// somebody else's: they meet what is asked for, if they are for the same user,
// or they stand in its way, and are never touched.
//
// # Truth table
//
//	what the source holds      | what NetBox asks for     | outcome
//	---------------------------|--------------------------|------------------------------------------
//	nothing                    | an address               | reserve
//	ours, as asked for         | an address               | nothing
//	ours, for another user     | an address               | change: release, then reserve
//	somebody else's, as asked  | an address               | nothing; it is never released
//	somebody else's, otherwise | an address               | hold: taken
//	ours                       | nothing; source and      | release
//	                           |   NetBox answered in full|
//	ours, and in use           | nothing                  | hold: in use
//	ours                       | nothing; source          | hold: incomplete
//	                           |   did not answer in full |
//	anything                   | what the source cannot   | hold: the source cannot hold it, and why
//	                           |   hold (Desk.Consider)   |
//	anything                   | what was refused before, | hold: refused before
//	                           |   and nothing has changed|
//	somebody else's            | nothing                  | nothing
//
// A reserve and a release of one owner, user, table, family and MAC become one
// change. Then policy, then limits, as with rows.
package reserve

import (
	"net/netip"
	"time"

	"allocsync/ipam"
	"allocsync/sync/plan"
)

// Input is everything that a Proposal is made from.
type Input struct {
	Now     time.Time
	Sources []Source      // the sources asked, in the order of the configuration
	Rows    []ipam.Stored // every row of an address whose reserve_at names one of Sources
	Ledger  Book
}

// Source is one source that may be asked to hold addresses.
type Source struct {
	Owner   string // INSTALLATION/SOURCE
	Missing []string
	Allow   plan.Allow

	// Closed says why the source takes no reservations: "" where it does.
	Closed string

	Networks []Network
	Held     []ipam.Reservation

	// Consider is Desk.Consider of the source.
	Consider func(wish ipam.Reservation) (ipam.Reservation, error)

	// Facts are all that the source hands out. What was refused is tried again
	// when those have changed that are about it.
	Facts []ipam.Allocation
}

// Network is a network of a source, and the table of NetBox in which its
// addresses stand.
type Network struct {
	URI    ipam.UsedBy
	Prefix netip.Prefix
	VRF    string
}

// Book is what is kept from pass to pass: what was reserved, and what was
// refused.
type Book struct {
	Entries []Entry
	Notes   []Note
}

// Entry says that a reservation was made here, or was about to be made: it is
// written before the source is asked, so that a crash in between leaves no
// reservation that nobody knows of.
type Entry struct {
	Owner string
	Wish  ipam.Reservation // as it was asked for: with network, address and mark
	VRF   string           // table of the row that asked for it
	Row   int              // ID of that row, 0 where it is not known
	Made  bool             // the source has said that it holds it
	Since time.Time
}

// Same reports whether two entries are of one reservation: the ledger keeps one
// of them.
func (e Entry) Same(f Entry) bool {
	return e.Owner == f.Owner && e.Wish.Network == f.Wish.Network && e.Wish.Addr == f.Wish.Addr
}

// Note says what became of what a row asks for.
type Note struct {
	Owner string // the source that is asked
	Row   int    // ID in NetBox; below 0 of a reservation that was to be released
	Text  string // why it is not met

	// Tried is a fingerprint of what was tried and refused, and of all that it
	// depends on: with the same one it is not tried again. "" where nothing was
	// tried.
	Tried string

	// Told says that Text stands in the row's journal.
	Told bool
}

// Ledger keeps a Book. Each change is on disk when its method returns.
type Ledger interface {
	Read() (Book, error)
	// Change puts and deletes entries, at once or not at all.
	Change(put, forget []Entry) error
	// Note puts the notes of rows, and deletes those whose Text is "": all at
	// once or none.
	Note(...Note) error
}

// Proposal is what would be done at the sources.
type Proposal struct {
	Plan plan.Plan

	// What the ledger does not know yet: Forget are entries of reservations that
	// the sources no longer hold and nobody asks for, Adopt those of
	// reservations that turned out to be made.
	Forget, Adopt []Entry

	now      time.Time
	holdings []Holding

	asks    map[int]string  // rows that ask, by ID: whom
	blocked map[int]blocked // those of them that are held

	sites  map[string]*site // by owner
	wishes map[key]wish
	held   map[int]ipam.Reservation // ours, by the ID that the planner knows them by
}

// key names what a change is about.
type key struct {
	owner string
	place ipam.Place
}

// blocked is why a row that asks is held.
type blocked struct {
	reason plan.Reason
	note   string
	tried  string // see Note
}

// wish is what a row asks for, as the source's desk completed it.
type wish struct {
	ipam.Reservation
	row   ipam.Stored
	tried string // see Note
}

// Holding is a reservation that a source holds, by whomever it was made.
type Holding struct {
	ipam.Reservation
	Owner string
	VRF   string // table of NetBox in which its address stands
	Mask  int    // length of its network in bits
	Ours  bool
}

// Holdings lists what the sources hold.
func (p Proposal) Holdings() []Holding { return p.holdings }
