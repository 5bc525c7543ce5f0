package netbox

import (
	"context"

	"allocsync/ipam"
)

// Owned returns every prefix and address whose sync_owner is one of owners,
// ordered by kind and ID, each once.
func (s *Session) Owned(ctx context.Context, owners []string) ([]ipam.Stored, error) {
	panic("TODO")
}

// Reserved returns every address whose reserve_at is one of owners, whoever
// owns the row, ordered by ID. It needs Refs.Reservable.
func (s *Session) Reserved(ctx context.Context, owners []string) ([]ipam.Stored, error) {
	panic("TODO")
}

// At returns every row, whoever owns it, that stands at one of places, ordered
// by kind and ID. Places are looked up many at a time; repetitions do not
// matter.
func (s *Session) At(ctx context.Context, places []ipam.Place) ([]ipam.Stored, error) {
	panic("TODO")
}

// Rows returns those of the given rows that still exist, ordered by ID.
func (s *Session) Rows(ctx context.Context, kind ipam.Kind, ids []int) ([]ipam.Stored, error) {
	panic("TODO")
}

// Create makes the rows of one batch, all of one kind, all or none, and
// returns them in the order of the batch.
func (s *Session) Create(ctx context.Context, batch []ipam.Record) ([]ipam.Stored, error) {
	panic("TODO")
}

// Update sends what differs in the rows of one batch, all of one kind, all or
// none, and returns the IDs that were changed. Before 4.7 NetBox passes over a
// row that is gone without a word: its ID is then missing from the answer.
func (s *Session) Update(ctx context.Context, batch []ipam.Edit) ([]int, error) {
	panic("TODO")
}

// Delete removes rows of one kind, all or none. Before 4.7 a row that is gone
// already is passed over; from then on it is a refusal.
func (s *Session) Delete(ctx context.Context, kind ipam.Kind, ids []int) error {
	panic("TODO")
}
