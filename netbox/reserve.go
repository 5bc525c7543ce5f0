package netbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"allocsync/ipam"
)

const (
	// maxFree is how many free addresses of a prefix are looked at.
	maxFree = 1000
	// maxTaken is how many of them are taken at once to have one of them.
	maxTaken = 256
)

// Ask makes the row of an address that asks for a reservation, as a person would
// make it: status reserved, of no owner, with reserve_at. Of record it takes the
// place and mask, used_by, the MAC, DNS name and description.
//
// NetBox keeps two rows of one address apart only where the VRF enforces it:
// look at the place before and after.
func (s *Session) Ask(ctx context.Context, record ipam.Record, reserveAt string) (ipam.Stored, error) {
	body, err := s.asking(record, reserveAt)
	if err != nil {
		return ipam.Stored{}, fmt.Errorf("ask for %s: %w", record.CIDR(), err)
	}
	body["address"] = record.CIDR().String()
	rows, err := s.ask(ctx, pathOf(ipam.Address), []map[string]any{body})
	if err != nil {
		return ipam.Stored{}, err
	}
	return rows[0], nil
}

// AskFor makes such a row at a free address of the prefix with the given ID,
// which NetBox chooses: the first one that may says yes to, in one step, so that
// two who ask at the same time never get the same. Those before it are taken for
// a moment and given back. It returns ErrFull where there is none, and ErrLeft
// together with the row where some could not be given back.
func (s *Session) AskFor(ctx context.Context, prefix int, record ipam.Record, reserveAt string, may func(netip.Addr) bool) (ipam.Stored, error) {
	path := fmt.Sprintf("%s%d/available-ips/", pathOf(ipam.Prefix), prefix)
	place, err := s.firstFree(ctx, path, may)
	if err != nil {
		return ipam.Stored{}, err
	}
	body, err := s.asking(record, reserveAt)
	if err != nil {
		return ipam.Stored{}, fmt.Errorf("ask for an address: %w", err)
	}
	delete(body, "vrf") // that of the prefix
	bodies := make([]map[string]any, place+1)
	for i := range place {
		bodies[i] = passing(reserveAt)
	}
	bodies[place] = body
	rows, err := s.ask(ctx, path, bodies)
	if err != nil {
		return ipam.Stored{}, err
	}
	chosen := rows[place]
	var back []int
	for _, row := range rows {
		if row.ID != chosen.ID || !may(row.Place.Prefix.Addr()) { // somebody took it meanwhile
			back = append(back, row.ID)
		}
	}
	err = s.Delete(ctx, ipam.Address, back)
	switch {
	case slices.Contains(back, chosen.ID):
		return ipam.Stored{}, errors.Join(fmt.Errorf("%w any more; try again", ErrFull), err)
	case err != nil:
		return chosen, fmt.Errorf("%w, from #%d on: %w", ErrLeft, back[0], err)
	}
	return chosen, nil
}

// passing is a row that is taken for a moment. It asks nobody: its reserve_at
// names no source, and only says to whose permissions it belongs.
func passing(reserveAt string) map[string]any {
	installation, _, _ := strings.Cut(reserveAt, "/")
	return map[string]any{
		"status": "reserved", "description": "taken for a moment by allocsync reserve; may be deleted",
		"custom_fields": map[string]any{ipam.ReserveAtField: installation + "/"},
	}
}

// ErrLeft says that rows which were taken for a moment could not be given back.
// They ask nobody and may be deleted; what was asked for is done.
var ErrLeft = errors.New("rows that were taken for a moment are still in NetBox")

// ErrFull says that a prefix has no free address that the source would hold.
var ErrFull = errors.New("the prefix has no free address that the source would hold")

// firstFree is how many free addresses stand before the first that may be used.
func (s *Session) firstFree(ctx context.Context, path string, may func(netip.Addr) bool) (int, error) {
	var free []struct {
		Address string `json:"address"`
	}
	if err := s.client.read(ctx, path, fmt.Sprintf("limit=%d", maxFree), &free); err != nil {
		return 0, err
	}
	for i, f := range free {
		p, err := ipam.ParsePrefix(f.Address)
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", path, err)
		}
		if !may(p.Addr()) {
			continue
		}
		if i >= maxTaken {
			return 0, fmt.Errorf("%w among the first %d; name one", ErrFull, maxTaken)
		}
		return i, nil
	}
	return 0, ErrFull
}

// asking is the body of a row that asks, but for its address.
func (s *Session) asking(r ipam.Record, reserveAt string) (map[string]any, error) {
	vrf, err := s.vrfID(r.Place.VRF)
	if err != nil {
		return nil, err
	}
	body := s.message(reserveAt)
	body["status"] = "reserved"
	if vrf != 0 {
		body["vrf"] = vrf
	}
	if r.Attrs.DNSName != "" {
		body["dns_name"] = r.Attrs.DNSName
	}
	if r.Attrs.Description != "" {
		body["description"] = r.Attrs.Description
	}
	fields := map[string]any{ipam.ReserveAtField: reserveAt}
	if r.Attrs.UsedBy != "" {
		fields[ipam.UsedByField] = string(r.Attrs.UsedBy)
	}
	if r.Attrs.MAC != "" {
		fields[ipam.MACField] = string(r.Attrs.MAC)
	}
	body["custom_fields"] = fields
	return body, nil
}

func (s *Session) ask(ctx context.Context, path string, bodies []map[string]any) ([]ipam.Stored, error) {
	a, failed := s.client.write(ctx, http.MethodPost, path, bodies)
	if failed != nil {
		refuse(failed, a, s.version, len(bodies), nil)
		return nil, failed
	}
	var rows []row
	if err := json.Unmarshal(a.body, &rows); err != nil || len(rows) != len(bodies) {
		return nil, &Error{Method: http.MethodPost, Path: path, Status: a.status, Message: fmt.Sprintf("%d rows were asked for, %d came back", len(bodies), len(rows)), Err: err, unsure: true}
	}
	out := make([]ipam.Stored, len(rows))
	for i := range rows {
		stored, err := s.stored(ipam.Address, &rows[i], interner{})
		if err != nil {
			return nil, err
		}
		out[i] = stored
	}
	s.client.stats.created.Add(int64(len(out)))
	return out, nil
}

// SetReserveAt has a row that is there ask for a reservation, or with "" no
// longer. Nothing else of the row changes.
func (s *Session) SetReserveAt(ctx context.Context, id int, reserveAt string) error {
	body := s.message(reserveAt)
	body["id"] = id
	var value any
	if reserveAt != "" {
		value = reserveAt
	}
	body["custom_fields"] = map[string]any{ipam.ReserveAtField: value}
	a, failed := s.client.write(ctx, http.MethodPatch, pathOf(ipam.Address), []map[string]any{body})
	if failed != nil {
		refuse(failed, a, s.version, 1, []int{id})
		return failed
	}
	s.client.stats.updated.Add(1)
	return nil
}
