package plan

import (
	"slices"

	"allocsync/ipam"
)

// decide goes through the truth table for one place: claims holds the indices
// of its claims in the order of Claim.Compare, rows those of its rows by ID.
func (p *planner) decide(claims, rows []int32) {
	if len(claims) == 1 && len(rows) == 1 && p.match(claims[0], rows[0]) {
		return
	}
	winners := p.winners(claims, rows)
	managed, rest := p.incumbents(winners, rows)
	for _, c := range managed {
		rows = p.keepOwn(c, rows)
	}
	switch {
	case len(managed) > 0:
		p.contest(rest, managed[0])
	case len(winners) > 0:
		p.contest(winners[1:], winners[0])
		rows = p.claimFree(winners[0], rows)
	}
	p.drop(rows, winners)
}

// match is the short way for nearly all places of nearly all passes: one claim
// and its own row.
func (p *planner) match(claim, row int32) bool {
	c, r := &p.in.Claims[claim], &p.in.Current[row]
	if c.Owner != r.Owner {
		return false
	}
	summary := p.summaryOf(c.Owner)
	switch {
	case summary == nil:
		return false
	case ipam.InStep(r, &c.Record):
		summary.InStep++
	default:
		p.bring(c, *r)
	}
	return true
}

// bring makes the source's own row what the claim says, unless that would take
// it from a user of whom nothing is known: it may be on what could not be read,
// and have the address still.
func (p *planner) bring(c *ipam.Claim, row ipam.Stored) {
	user := row.Attrs.UsedBy
	if user == "" || user == c.Attrs.UsedBy || p.complete(c.Owner) || p.states(c.Owner, user) {
		p.update(c.Owner, Changed, row, c.Record)
		return
	}
	change := Change{Action: Update, Reason: Changed, Owner: c.Owner, Before: row, After: c.Record}
	p.hold(Incomplete, change, row, p.in.Sources[p.source[c.Owner]].missing())
}

// states reports whether a source claims anything for a user.
func (p *planner) states(owner string, user ipam.UsedBy) bool {
	if p.users == nil {
		p.users = map[string]map[ipam.UsedBy]bool{}
	}
	users, known := p.users[owner]
	if !known {
		users = map[ipam.UsedBy]bool{}
		for i := range p.in.Claims {
			if c := &p.in.Claims[i]; c.Owner == owner {
				users[c.Attrs.UsedBy] = true
			}
		}
		p.users[owner] = users
	}
	return users[user]
}

// winners picks one claim for each configured source, in the order of the
// configuration, and holds the others.
func (p *planner) winners(claims, rows []int32) []int32 {
	var winners []int32
	for len(claims) > 0 {
		owner := p.in.Claims[claims[0]].Owner
		n := 1
		for n < len(claims) && p.in.Claims[claims[n]].Owner == owner {
			n++
		}
		same := claims[:n]
		claims = claims[n:]
		if _, ok := p.source[owner]; !ok {
			for _, c := range same {
				p.hold(UnknownOwner, p.creation(c), ipam.Stored{}, "no source here is "+owner)
			}
			continue
		}
		best := p.strongest(same, rows)
		winners = append(winners, best)
		for _, c := range same {
			if c != best {
				p.holdContested(c, best)
			}
		}
	}
	slices.SortStableFunc(winners, func(a, b int32) int {
		return p.source[p.in.Claims[a].Owner] - p.source[p.in.Claims[b].Owner]
	})
	return winners
}

// strongest picks between the claims of one source: lowest rank, then the user
// that its row names, then the first.
func (p *planner) strongest(claims, rows []int32) int32 {
	best := claims[0] // of the lowest rank: claims are in order
	for _, c := range claims {
		claim := &p.in.Claims[c]
		if claim.Rank != p.in.Claims[best].Rank {
			break
		}
		for _, r := range rows {
			row := &p.in.Current[r]
			if row.Owner == claim.Owner && row.Attrs.UsedBy == claim.Attrs.UsedBy {
				return c
			}
		}
	}
	return best
}

// incumbents splits the winners into those that hold a row at the place, their
// own or a person's that reserves it for them, and the rest.
func (p *planner) incumbents(winners, rows []int32) (holding, rest []int32) {
	for _, c := range winners {
		owner := p.in.Claims[c].Owner
		if slices.ContainsFunc(rows, func(r int32) bool { return p.belongs(r, owner) }) {
			holding = append(holding, c)
		} else {
			rest = append(rest, c)
		}
	}
	return holding, rest
}

// belongs reports whether owner may hold the place by this row.
func (p *planner) belongs(row int32, owner string) bool {
	r := &p.in.Current[row]
	return r.Owner == owner || p.reservedFor(row, owner)
}

// reservedFor reports whether the row is a person's that reserves the place
// for owner.
func (p *planner) reservedFor(row int32, owner string) bool {
	r := &p.in.Current[row]
	return r.Owner == "" && r.ReserveAt == owner
}

// keepOwn brings the claim's own row into step and returns the rows that this
// leaves over. Where there are several, the one that names the user is kept,
// else the lowest ID; a person's reservation only where there is no own row.
func (p *planner) keepOwn(claim int32, rows []int32) []int32 {
	c := &p.in.Claims[claim]
	keep := -1
	for i, r := range rows {
		row := &p.in.Current[r]
		if row.Owner != c.Owner {
			continue
		}
		if keep < 0 || row.Attrs.UsedBy == c.Attrs.UsedBy && p.in.Current[rows[keep]].Attrs.UsedBy != c.Attrs.UsedBy {
			keep = i
		}
	}
	if keep >= 0 {
		p.bring(c, p.in.Current[rows[keep]])
		return without(rows, keep)
	}
	keep = slices.IndexFunc(rows, func(r int32) bool { return p.reservedFor(r, c.Owner) })
	row := p.in.Current[rows[keep]]
	p.update(c.Owner, Reserved, row, fillIn(row, c.Record))
	return without(rows, keep)
}

// fillIn is the row with the three fields filled in that a person left empty;
// everything else of it is the person's.
func fillIn(row ipam.Stored, claim ipam.Record) ipam.Record {
	want := ipam.Record{Place: row.Place, Attrs: ipam.Attrs{
		Mask: row.Attrs.Mask, UsedBy: row.Attrs.UsedBy, Type: row.Attrs.Type, MAC: row.Attrs.MAC, GoneUnix: row.Attrs.GoneUnix,
	}}
	if want.Attrs.UsedBy == "" {
		want.Attrs.UsedBy = claim.Attrs.UsedBy
	}
	if want.Attrs.Type == "" {
		want.Attrs.Type = claim.Attrs.Type
	}
	if want.Attrs.MAC == "" {
		want.Attrs.MAC = claim.Attrs.MAC
	}
	return want
}

// claimFree gives the place to a claim that holds no row there: a row handed
// over from another source, else a new one, else it is held. It returns the
// rows that this leaves over.
func (p *planner) claimFree(claim int32, rows []int32) []int32 {
	c := &p.in.Claims[claim]
	hand, blocked := -1, -1
	for i, r := range rows {
		row := &p.in.Current[r]
		switch {
		case !p.complete(row.Owner):
			// A row that is nobody's stands in the way more clearly than
			// that of a source which may have moved on.
			if blocked < 0 || row.Owner == "" && p.in.Current[rows[blocked]].Owner != "" {
				blocked = i
			}
		case hand < 0 || row.Attrs.UsedBy == c.Attrs.UsedBy && p.in.Current[rows[hand]].Attrs.UsedBy != c.Attrs.UsedBy:
			hand = i
		}
	}
	switch {
	case hand >= 0:
		p.update(c.Owner, Handover, p.in.Current[rows[hand]], c.Record)
		return without(rows, hand)
	case blocked >= 0:
		p.holdBlocked(claim, rows[blocked])
		return without(rows, blocked)
	}
	p.created = append(p.created, claim)
	return nil
}

func (p *planner) holdBlocked(claim, row int32) {
	r := p.in.Current[row]
	reason, note := Unmanaged, ""
	if r.Owner != "" {
		reason, note = OtherOwner, r.Owner+" is not configured here"
		if i, ok := p.source[r.Owner]; ok {
			note = r.Owner + ": " + p.in.Sources[i].missing()
		}
	}
	p.hold(reason, p.creation(claim), r, note)
}

// contest holds claims that lost a place to winner.
func (p *planner) contest(losers []int32, winner int32) {
	for _, c := range losers {
		p.holdContested(c, winner)
	}
}

func (p *planner) holdContested(claim, winner int32) {
	w := &p.in.Claims[winner]
	p.hold(Contested, p.creation(claim), ipam.Stored{}, "kept for "+string(w.Attrs.UsedBy)+" of "+w.Owner)
}

// creation is the change that a claim asks for where there is no row.
func (p *planner) creation(claim int32) Change {
	c := p.in.Claims[claim]
	return Change{Action: Create, Reason: New, Owner: c.Owner, After: c.Record}
}

// drop deals with the rows of a place that no claim is met by. A row of a
// source that claims the place is a second row of it; of any other source the
// row's user is gone.
func (p *planner) drop(rows, winners []int32) {
	for _, r := range rows {
		row := p.in.Current[r]
		i, configured := p.source[row.Owner]
		second := slices.ContainsFunc(winners, func(c int32) bool { return p.in.Claims[c].Owner == row.Owner })
		removal := Change{Action: Delete, Reason: NowGone, Owner: row.Owner, Before: row}
		if second {
			removal.Reason = Duplicate
		}
		switch {
		case row.Owner == "":
		case !configured && len(winners) == 0:
			p.hold(UnknownOwner, removal, row, row.Owner+" is not configured here")
		case !configured:
		case !p.in.Sources[i].Complete():
			p.hold(Incomplete, removal, row, p.in.Sources[i].missing())
		case second:
			p.changes = append(p.changes, removal)
		default:
			p.gone = append(p.gone, r)
		}
	}
}

// without returns rows without the one at i, leaving rows untouched.
func without(rows []int32, i int) []int32 {
	return slices.Concat(rows[:i], rows[i+1:])
}
