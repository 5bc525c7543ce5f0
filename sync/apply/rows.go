package apply

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"allocsync/ipam"
)

// lookCreate does nothing the first time: the planner has just looked. After a
// write whose answer was lost, it looks which rows are there.
func (r *runner) lookCreate(ctx context.Context, b batch) (batch, error) {
	if !b.doubt() {
		return b, nil
	}
	left, taken, err := r.lookPlaces(ctx, b, "")
	left.rows = slices.DeleteFunc(slices.Clone(left.rows), func(i int) bool {
		row, found := taken[i]
		if found {
			r.settle(i, Kept, row.ID, fmt.Sprintf("row %d of %s was made there meanwhile", row.ID, whose(row.Owner)))
		}
		return found
	})
	return left, err
}

// lookTwins looks which of the rows that NetBox refused to create are there,
// made by another run of this installation since the planner looked. The others
// are left to NetBox's words.
func (r *runner) lookTwins(ctx context.Context, b batch) (batch, error) {
	left, _, err := r.lookPlaces(ctx, b, "made meanwhile by another run")
	return left, err
}

// lookPlaces settles the rows that are there already. It returns the others,
// and at which of them another row stands.
func (r *runner) lookPlaces(ctx context.Context, b batch, detail string) (left batch, taken map[int]ipam.Stored, err error) {
	at, err := r.standing(ctx, b)
	if err != nil {
		return b, nil, err
	}
	left, taken = b, map[int]ipam.Stored{}
	left.rows = nil
	for _, i := range b.rows {
		wanted := r.changes[i].After
		rows := at[wanted.Place]
		if ours := twin(rows, wanted); ours >= 0 {
			r.settle(i, Done, rows[ours].ID, detail)
			continue
		}
		if len(rows) > 0 {
			taken[i] = rows[0]
		}
		left.rows = append(left.rows, i)
	}
	return left, taken, nil
}

// standing reads the rows at the places that the batch wants.
func (r *runner) standing(ctx context.Context, b batch) (map[ipam.Place][]ipam.Stored, error) {
	places := make([]ipam.Place, len(b.rows))
	for at, i := range b.rows {
		places[at] = r.changes[i].After.Place
	}
	found, err := r.target.At(ctx, places)
	if err != nil {
		return nil, err
	}
	at := map[ipam.Place][]ipam.Stored{}
	for _, row := range found {
		at[row.Place] = append(at[row.Place], row)
	}
	return at, nil
}

// twin returns the index of the row that is wanted's already, -1 for none.
func twin(rows []ipam.Stored, wanted ipam.Record) int {
	return slices.IndexFunc(rows, func(row ipam.Stored) bool {
		return row.Owner == wanted.Owner && row.Attrs.UsedBy == wanted.Attrs.UsedBy
	})
}

func (r *runner) create(ctx context.Context, b batch) error {
	records := make([]ipam.Record, len(b.rows))
	for at, i := range b.rows {
		records[at] = r.changes[i].After
	}
	made, err := r.target.Create(ctx, records)
	if err != nil {
		return err
	}
	if len(made) != len(records) {
		return lostRows{fmt.Sprintf("%d rows were sent to be created, %d came back", len(records), len(made))}
	}
	for at, i := range b.rows {
		r.settle(i, Done, made[at].ID, "")
	}
	return nil
}

// lostRows is an answer that does not fit the batch.
type lostRows struct{ text string }

func (e lostRows) Error() string { return e.text }
func (lostRows) Unsure() bool    { return true }

// lookUpdate reads the rows and keeps those that somebody deleted or changed.
func (r *runner) lookUpdate(ctx context.Context, b batch) (batch, error) {
	rows, err := r.reread(ctx, b)
	if err != nil {
		return b, err
	}
	left := b
	left.rows, left.edits = nil, nil
	for _, i := range b.rows {
		c := r.changes[i]
		now, exists := rows[c.Before.ID]
		edit := ipam.Edit{Before: now, After: c.After}
		switch {
		case !exists:
			r.settle(i, Kept, c.Before.ID, "deleted by somebody since it was read")
		case now.Owner != c.Before.Owner && now.Owner != c.After.Owner:
			r.settle(i, Kept, c.Before.ID, fmt.Sprintf("it belongs to %s by now, not to %s", whose(now.Owner), whose(c.Before.Owner)))
		case c.Before.Owner == "" && now.ReserveAt != c.Before.ReserveAt:
			r.settle(i, Kept, c.Before.ID, "its reserve_at was changed by somebody since it was read")
		case len(edit.Fields()) == 0:
			r.settle(i, Done, c.Before.ID, "")
		default:
			if changed := touched(c.Edit(), edit); changed != "" {
				r.settle(i, Kept, c.Before.ID, "changed by somebody since it was read: "+changed+when(now))
				continue
			}
			left.rows = append(left.rows, i)
			left.edits = append(left.edits, edit)
		}
	}
	return left, nil
}

// touched says which of the fields that allocsync keeps somebody changed since
// the edit was planned; "" for none. Tags only ever grow, so a tag that came
// or went does not matter.
func touched(planned, now ipam.Edit) string {
	before := map[string]ipam.Field{}
	for _, field := range planned.Fields() {
		before[field.Name] = field
	}
	var parts []string
	for _, field := range now.Fields() {
		was, expected := before[field.Name]
		delete(before, field.Name)
		if field.Name == ipam.TagsField || expected && was == field {
			continue
		}
		parts = append(parts, fmt.Sprintf("%s is %q", field.Name, field.Old))
	}
	// A field that was to be changed and is already as wanted: somebody, or a
	// write of ours whose answer was lost. Either way it needs nothing more.
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func (r *runner) update(ctx context.Context, b batch) error {
	ids, err := r.target.Update(ctx, b.edits)
	if err != nil {
		return err
	}
	for _, i := range b.rows {
		id := r.changes[i].Before.ID
		if slices.Contains(ids, id) {
			r.settle(i, Done, id, "")
			continue
		}
		r.settle(i, Kept, id, "deleted by somebody since it was read")
	}
	return nil
}

// lookDelete reads the rows and keeps those that somebody changed in any way.
func (r *runner) lookDelete(ctx context.Context, b batch) (batch, error) {
	rows, err := r.reread(ctx, b)
	if err != nil {
		return b, err
	}
	left := b
	left.rows = nil
	for _, i := range b.rows {
		before := r.changes[i].Before
		now, exists := rows[before.ID]
		switch {
		case !exists && b.doubt():
			r.settle(i, Done, before.ID, "")
		case !exists:
			r.settle(i, Done, before.ID, "was gone already")
		case now.Owner != before.Owner:
			r.settle(i, Kept, before.ID, fmt.Sprintf("it belongs to %s by now, not to %s", whose(now.Owner), whose(before.Owner)))
		case !same(now, before):
			r.settle(i, Kept, before.ID, "changed by somebody since it was read"+when(now))
		default:
			left.rows = append(left.rows, i)
		}
	}
	return left, nil
}

// same compares two readings of a row. == would compare the clocks of the
// times as well.
func same(a, b ipam.Stored) bool {
	return a.Record == b.Record && a.ReserveAt == b.ReserveAt && a.LastUpdated.Equal(b.LastUpdated)
}

func (r *runner) remove(ctx context.Context, b batch) error {
	ids := make([]int, len(b.rows))
	for at, i := range b.rows {
		ids[at] = r.changes[i].Before.ID
	}
	if err := r.target.Delete(ctx, b.kind, ids); err != nil {
		return err
	}
	for _, i := range b.rows {
		r.settle(i, Done, r.changes[i].Before.ID, "")
	}
	return nil
}

// reread reads the rows of a batch by ID. A row that was not asked for cannot
// come back as one that was.
func (r *runner) reread(ctx context.Context, b batch) (map[int]ipam.Stored, error) {
	ids := make([]int, len(b.rows))
	for at, i := range b.rows {
		ids[at] = r.changes[i].Before.ID
	}
	rows, err := r.target.Rows(ctx, b.kind, ids)
	if err != nil {
		return nil, err
	}
	out := make(map[int]ipam.Stored, len(rows))
	for _, row := range rows {
		out[row.ID] = row
	}
	return out, nil
}

func whose(owner string) string {
	if owner == "" {
		return "nobody that syncs"
	}
	return owner
}

func when(row ipam.Stored) string {
	if row.LastUpdated.IsZero() {
		return ""
	}
	return " (" + row.LastUpdated.UTC().Format(time.RFC3339) + ")"
}
