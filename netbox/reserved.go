package netbox

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"allocsync/ipam"
)

const reserveAtFilter = "cf_" + ipam.ReserveAtField

// Reserved returns every address whose reserve_at is one of values, whoever
// owns the row, ordered by ID. It needs Refs.Reservable.
func (s *Session) Reserved(ctx context.Context, values []string) ([]ipam.Stored, error) {
	rows, err := s.marked(ctx, ipam.Address, reserveAtFilter, values, func(r *row) string { return string(r.Custom.ReserveAt) })
	if err != nil {
		return nil, fmt.Errorf("list reservations: %w", err)
	}
	return rows, nil
}

// ReservedElsewhere returns every address whose reserve_at begins with start, in
// whatever case of letters, and is none of owners, ordered by ID. It needs
// Refs.Reservable.
func (s *Session) ReservedElsewhere(ctx context.Context, start string, owners []string) ([]ipam.Stored, error) {
	query := reserveAtFilter + "__isw=" + escape(start)
	if none := filters(reserveAtFilter+"__n", sortedUnique(owners), s.room(ipam.Address)-len(query)-1); len(none) > 0 {
		query += "&" + none[0] // those that there is no room for are left out here
	}
	out, err := s.collect(ctx, ipam.Address, []string{query}, func(r *row) (bool, error) {
		at := string(r.Custom.ReserveAt)
		if !startsWith(at, start) {
			return false, errIgnored(reserveAtFilter+"__isw", r.ID)
		}
		return !slices.Contains(owners, at), nil
	})
	if err != nil {
		return nil, fmt.Errorf("list reservations at other sources: %w", err)
	}
	return uniqueByID(out), nil
}

// startsWith compares as the filter isw does: without regard to case.
func startsWith(s, start string) bool {
	return strings.HasPrefix(strings.ToLower(s), strings.ToLower(start))
}
