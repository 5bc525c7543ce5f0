package netbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"allocsync/ipam"
)

// Create makes the rows of one batch, all of one kind, all or none, and
// returns them in the order of the batch.
func (s *Session) Create(ctx context.Context, batch []ipam.Record) ([]ipam.Stored, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	kind := batch[0].Place.Kind
	path := pathOf(kind)
	bodies, err := s.createBodies(ctx, kind, batch)
	if err != nil {
		return nil, err
	}
	a, failed := s.client.write(ctx, http.MethodPost, path, bodies)
	if failed != nil {
		refuse(failed, a, s.version, len(batch), nil)
		return nil, failed
	}
	out, err := s.made(kind, batch, a.body)
	if err != nil {
		return nil, &Error{Method: http.MethodPost, Path: path, Status: a.status, Message: err.Error(), Err: err, unsure: true}
	}
	s.client.stats.created.Add(int64(len(out)))
	return out, nil
}

// made reads the rows that a bulk create returns, and holds them against the
// batch: the same number, each at its place.
func (s *Session) made(kind ipam.Kind, batch []ipam.Record, body []byte) ([]ipam.Stored, error) {
	var rows []row
	if err := json.Unmarshal(body, &rows); err != nil {
		return nil, fmt.Errorf("decode the created rows: %w", err)
	}
	if len(rows) != len(batch) {
		return nil, fmt.Errorf("%d rows were sent to be created, %d came back", len(batch), len(rows))
	}
	at := make(map[ipam.Place]ipam.Stored, len(rows))
	for i := range rows {
		stored, err := s.stored(kind, &rows[i], interner{})
		if err != nil {
			return nil, err
		}
		at[stored.Place] = stored
	}
	out := make([]ipam.Stored, len(batch))
	for i, wanted := range batch {
		stored, ok := at[wanted.Place]
		if !ok || stored.Owner != wanted.Owner {
			return nil, fmt.Errorf("%s was sent to be created, and did not come back", wanted.CIDR())
		}
		out[i] = stored
	}
	return out, nil
}

// Update sends what differs in the rows of one batch, all of one kind, all or
// none, and returns the IDs that were changed. Before 4.7 NetBox passes over a
// row that is gone without a word: its ID is then missing from the answer.
func (s *Session) Update(ctx context.Context, batch []ipam.Edit) ([]int, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	kind := batch[0].After.Place.Kind
	path := pathOf(kind)
	ids := make([]int, len(batch))
	for i, edit := range batch {
		ids[i] = edit.Before.ID
	}
	bodies, err := s.updateBodies(ctx, kind, batch)
	if err != nil {
		return nil, err
	}
	a, failed := s.client.write(ctx, http.MethodPatch, path, bodies)
	if failed != nil {
		refuse(failed, a, s.version, len(batch), ids)
		return nil, failed
	}
	var rows []struct {
		ID int `json:"id"`
	}
	changed := make([]int, 0, len(batch))
	err = json.Unmarshal(a.body, &rows)
	for _, r := range rows {
		if !slices.Contains(ids, r.ID) {
			err = fmt.Errorf("row %d came back, which was not sent", r.ID)
		}
		changed = append(changed, r.ID)
	}
	if err != nil {
		return nil, &Error{Method: http.MethodPatch, Path: path, Status: a.status, Message: "read the updated rows: " + err.Error(), Err: err, unsure: true}
	}
	s.client.stats.updated.Add(int64(len(changed)))
	return changed, nil
}

// Delete removes rows of one kind, all or none. Before 4.7 a row that is gone
// already is passed over; from then on it is a refusal.
func (s *Session) Delete(ctx context.Context, kind ipam.Kind, ids []int) error {
	if len(ids) == 0 {
		return nil // an empty body could mean anything: it is never sent
	}
	bodies := make([]map[string]any, len(ids))
	for i, id := range ids {
		if id <= 0 {
			return fmt.Errorf("delete rows: %d is no ID", id)
		}
		bodies[i] = s.message("")
		bodies[i]["id"] = id
	}
	a, failed := s.client.write(ctx, http.MethodDelete, pathOf(kind), bodies)
	if failed != nil {
		refuse(failed, a, s.version, len(ids), ids)
		return failed
	}
	s.client.stats.deleted.Add(int64(len(ids)))
	return nil
}
