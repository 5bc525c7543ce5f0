package webhook

import (
	"context"
	"time"
)

// Reservations does what is asked for at /v1/reservations. Its functions are
// called from many goroutines at once, and end soon after ctx does, but for
// what cannot be broken off. A *Problem among their errors says what the caller
// is told; of any other he is told nothing, and the log everything.
type Reservations struct {
	// List returns what is held and what is asked for: at one source, or with
	// "" at all of them; of one address, or with "" of all.
	List func(ctx context.Context, source, address string) (ReservationList, error)
	// Reserve makes a reservation. With made false it was there before.
	Reserve func(ctx context.Context, wanted ReservationRequest) (r Reservation, made bool, err error)
	// Release ends a reservation and returns what it was.
	Release func(ctx context.Context, source, address string) (Reservation, error)
}

// ReservationRequest is what the body of POST /v1/reservations says: text of the
// caller's, within bounds and without control characters.
type ReservationRequest struct {
	Source  string `json:"source"`
	Network string `json:"network,omitempty"`
	Address string `json:"address,omitempty"`
	MAC     string `json:"mac,omitempty"`
	NIC     string `json:"nic,omitempty"`
	For     string `json:"for,omitempty"`
	Name    string `json:"name,omitempty"`
}

// Reservation is one address that is held at a source, or asked for there. Every
// key is always there, with "" or 0 where there is nothing to say.
type Reservation struct {
	Source  string `json:"source"`
	Address string `json:"address"` // with the length of its network: 10.0.0.5/24
	VRF     string `json:"vrf"`     // in NetBox
	Network string `json:"network"` // URI at the source
	MAC     string `json:"mac"`
	For     string `json:"for"`  // URI of the node or instance
	Name    string `json:"name"` // host name, or for whom in words
	UsedBy  string `json:"used_by"`
	Type    string `json:"type"`
	State   string `json:"state"` // held, held by others, asked for, released
	Reason  string `json:"reason"`
	InUse   string `json:"in_use"`
	Row     int    `json:"row"` // ID in NetBox of the row that asks for it
}

// ReservationList is the answer of GET /v1/reservations.
type ReservationList struct {
	Reservations []Reservation  `json:"reservations"`
	Unread       []UnreadSource `json:"unread"` // nothing is said of what is reserved there
}

// UnreadSource is a source that did not answer, or a part that it could not read.
type UnreadSource struct {
	Source string `json:"source"`
	Error  string `json:"error"`
}

// Problem is why something is not done, in words for the caller.
type Problem struct {
	Status int // of HTTP
	Text   string

	// Wait is after how long to ask again: Retry-After. 0 for nothing said.
	Wait time.Duration
	// Unfinished says that something was begun, which a pass will finish.
	Unfinished bool
	// Sources are those that there are, where another one was named.
	Sources []string
}

// Error is the text.
func (p *Problem) Error() string { return p.Text }
