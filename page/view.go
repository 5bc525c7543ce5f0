package page

import "time"

// View is everything that the page shows, as it was at one moment. All texts
// are foreign: the page escapes them and makes visible what a reader would not
// see. A View must hold no secret. The zero View is a worker that has not read
// anything yet.
//
// Lists may be of any length; the page bounds what it shows and says how much
// more there is.
type View struct {
	Installation, Version    string
	NetBoxURL, NetBoxVersion string // links go below NetBoxURL where it is an http(s) address

	Now     time.Time // of this View; the zero time means Options.Now
	Running bool      // a pass runs
	Since   time.Time // when the running pass began
	Doing   string    // what the running pass does, "reading lab"; may be empty
	Next    time.Time // when the next pass is due; the zero time means by no schedule

	Notices  []string // what else a person should know: a state file set aside, a new configuration refused
	Sources  []Source // in the order of the configuration
	Plan     Plan
	Pending  []Pending // over their limits, waiting for a person
	Passes   []Pass    // newest first
	Networks []Network // in any order; the fullest are shown first
	Types    []Type    // in any order; the most used are shown first
}

// Source is the state of one configured source.
type Source struct {
	Name  string // in the configuration
	Owner string // INSTALLATION/NAME
	Kind  string // "lxd"

	Answer  string   // the last one: AnswerComplete, AnswerIncomplete, AnswerNone, or "" for not asked yet
	Reasons []string // why not complete
	Asked   time.Time
	Success time.Time // the last pass in which it answered in full and everything was done
	Took    time.Duration

	Allocations, Rows, InStep               int       // as of the last answer; Rows are those that it owns in NetBox
	Created, Updated, Deleted, Held, Failed int       // in the last pass that asked it
	LastCreated, LastUpdated, LastDeleted   int       // in the last pass that changed anything
	Changed                                 time.Time // when that was; the zero time means not in what is remembered
	Next                                    time.Time // by its schedule; the zero time means none
	Schedule                                string    // for people: "every 15m, Europe/Berlin"
	Watch                                   string    // how events stand: "connected", "reconnecting: …"; "" where it has none
	WatchBroken                             bool      // events do not come in now

	Reserves                   bool // it holds addresses for NetBox; without it the rest is not shown
	AskedFor, Unmet, Ours      int  // reservations after the last pass: that NetBox asks for, that are not held of these, and that were made from here
	LastReserved, LastReleased int  // in the last pass that changed anything
}

// How a source answered.
const (
	AnswerComplete   = "complete"
	AnswerIncomplete = "incomplete"
	AnswerNone       = "none"
)

// Plan is what the last pass found and has not done.
type Plan struct {
	At      time.Time // when it was made
	Held    []Held    // not planned, each for a reason
	Changes []Change  // planned and not done: refused, failed, skipped, waiting
}

// Held is a change that is not planned since something stands in the way.
type Held struct {
	Change          // what is wanted; Status is not used
	InTheWay Row    // the zero Row for none
	Advice   string // what a person can do
	Note     string
}

// Change is one difference between a source and NetBox: to be made in NetBox,
// or, of what NetBox asks a source to hold, at the source. Then UsedBy is for
// whom it is.
type Change struct {
	Owner   string
	Action  string // "create", "update", "delete"; at the source "reserve", "change", "release"
	Kind    string // KindPrefix or KindAddress
	Address string // with its mask
	VRF     string
	UsedBy  string
	Reason  string  // "renumbered"
	Fields  []Field // of an update those that differ; otherwise what is set or was
	RowID   int     // in NetBox; 0 for one that is not there yet
	Status  string  // why it is not done: "failed", "refused", "waits for approval"; may be empty
	Detail  string  // NetBox's words
}

// Field is a field of a row, before and after; one of them is empty for a
// create or a delete.
type Field struct{ Name, Old, New string }

// Row is a row in NetBox.
type Row struct {
	Kind   string // KindPrefix or KindAddress
	ID     int
	Fields []Field // what it holds, in Old
}

// Kinds of row, written as ipam.Kind does. Anything else counts as an address.
const (
	KindPrefix  = "prefix"
	KindAddress = "address"
)

// Pending is a plan over its limits that waits for a person.
type Pending struct {
	Digest  string // in hexadecimal; what is approved
	Asked   []string
	Since   time.Time
	Owners  []PendingOwner
	Changes []string // a line each
	More    int      // changes that Changes does not list
}

// PendingOwner is the part of one source in a pending plan.
type PendingOwner struct {
	Owner                     string
	Rows                      int // that it owns
	Creates, Updates, Deletes int
	Limit                     string // which limit, and by how much; "" for a source within its limits
}

// Pass is one pass that ended.
type Pass struct {
	ID                              uint64
	Start, End                      time.Time
	Trigger                         string   // "schedule"
	Detail                          string   // "every 15m"
	Asked                           []string // sources; none means all
	Sources                         []PassSource
	Requests, RowsRead, RowsWritten int
	Outcome                         string // OutcomeInStep, OutcomeApplied, OutcomePartly, OutcomeOver, OutcomeFailed
	Error                           string
	Digest                          string
}

// What became of a pass.
const (
	OutcomeInStep  = "in step"
	OutcomeApplied = "applied"
	OutcomePartly  = "partly"
	OutcomeOver    = "over limits"
	OutcomeFailed  = "failed"
)

// PassSource is the part of one source in a pass.
type PassSource struct {
	Name, Owner, Answer                                                string
	Missing                                                            []string
	Allocations, Rows, InStep, Created, Updated, Deleted, Held, Failed int
	Took                                                               time.Duration

	Reserved, Released int // at the source
}

// Network is how much of one network's prefix is in use.
type Network struct {
	Source, Network, Prefix string
	NAT                     bool
	Used                    int
	Capacity                float64 // addresses; 0 for not known
	ByType                  []Count
	Samples                 []Sample // oldest first
}

// Count is how many addresses of a network one type of user holds.
type Count struct {
	Type string
	Used int
}

// Type is how many addresses and prefixes one type of user holds.
type Type struct {
	Type                 string
	IPv4, IPv6, Prefixes int
	Samples              []Sample // of all addresses, oldest first
}

// Sample is one point of a history.
type Sample struct {
	At             time.Time
	Used, Capacity float64
}

// Hit is what a search found: an allocation of a source, a row in NetBox, or
// both of them.
type Hit struct {
	Source, Address, VRF, Network, Project, Name, Type, MAC, UsedBy string

	Kind  string // KindPrefix or KindAddress
	RowID int    // in NetBox; 0 for none that is known
	State string // "in step", "held: the row belongs to another owner", "not in NetBox yet"; may be empty
}
