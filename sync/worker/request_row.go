package worker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"allocsync/ipam"
	"allocsync/netbox"
	"allocsync/sources"
	"allocsync/sync/reserve"
)

// row finds or makes the row that asks for a wish.
func (o *office) row(ctx context.Context, n reserve.Network, wish ipam.Reservation) (row ipam.Stored, made bool, err error) {
	wish.Ref = o.heldAt(n, wish)
	completed, err := o.reading.Desk.Consider(wish)
	if err == nil && !completed.Addr.IsValid() {
		completed.Addr, err = o.choice(ctx, n, wish)
	}
	if errors.Is(err, sources.ErrNoChoice) {
		row, err = o.chosen(ctx, n, wish)
		return row, err == nil, unsureOf(err)
	}
	if err != nil {
		return row, false, err
	}
	record := recordOf(n, completed.Addr, completed)
	there, err := o.proposal.session.At(ctx, []ipam.Place{record.Place})
	if err != nil {
		return row, false, err
	}
	if i := slices.IndexFunc(there, func(r ipam.Stored) bool { return r.ReserveAt == o.reading.Source.Owner }); i >= 0 {
		return there[i], false, o.sameWish(there[i], wish, completed)
	}
	if len(there) > 0 {
		return o.adopt(ctx, there[0])
	}
	row, err = o.proposal.session.Ask(ctx, record, o.reading.Source.Owner)
	if err != nil {
		return row, false, unsureOf(err)
	}
	return row, true, o.alone(ctx, row)
}

// unsureOf says of a write to NetBox whose answer was lost that it may have been
// carried out.
func unsureOf(err error) error {
	if e, ok := errors.AsType[*netbox.Error](err); ok && e.Unsure() {
		return fmt.Errorf("%w: NetBox may have a row that asks by now: %w", ErrUnfinished, err)
	}
	return err
}

// heldAt is the URI of what the source holds of an address, if that is ours or
// what is wished for; "" for nothing. It is no conflict then.
func (o *office) heldAt(n reserve.Network, wish ipam.Reservation) ipam.UsedBy {
	for _, h := range o.proposal.back.Holdings() {
		if h.Network == n.URI && h.Addr == wish.Addr && (h.Ours || reserve.Meets(h.Reservation, wish)) {
			return h.Ref
		}
	}
	return ""
}

// maxChoices is how many addresses of a source's choice NetBox may have rows of.
const maxChoices = 20

// choice is an address that the source chooses and of which NetBox has no row.
func (o *office) choice(ctx context.Context, n reserve.Network, wish ipam.Reservation) (netip.Addr, error) {
	chooser, can := o.reading.Desk.(sources.Chooser)
	if !can {
		return netip.Addr{}, sources.ErrNoChoice
	}
	for range maxChoices {
		addr, err := chooser.Choose(ctx, wish)
		if err != nil || o.free(ctx, n, addr) {
			return addr, err
		}
	}
	return netip.Addr{}, fmt.Errorf("%w: NetBox has rows of the first %d addresses that are free at the source; name one", ErrRequest, maxChoices)
}

// free reports whether NetBox has no row of an address.
func (o *office) free(ctx context.Context, n reserve.Network, addr netip.Addr) bool {
	rows, err := o.proposal.session.At(ctx, []ipam.Place{ipam.PlaceOf(n.VRF, ipam.Address, ipam.HostPrefix(addr))})
	return err == nil && len(rows) == 0
}

// chosen makes a row at an address that NetBox chooses.
func (o *office) chosen(ctx context.Context, n reserve.Network, wish ipam.Reservation) (ipam.Stored, error) {
	session := o.proposal.session
	prefixes, err := session.At(ctx, []ipam.Place{ipam.PlaceOf(n.VRF, ipam.Prefix, n.Prefix)})
	if err != nil {
		return ipam.Stored{}, err
	}
	if len(prefixes) == 0 {
		return ipam.Stored{}, fmt.Errorf("%w: the source does not choose addresses, and NetBox, which could, has no prefix %s; name an address, or run allocsync sync first", ErrRequest, n.Prefix)
	}
	consider := o.reading.Desk.Consider
	completed, firstRefusal := wish, error(nil)
	may := func(a netip.Addr) bool {
		w := wish
		w.Addr = a
		c, err := consider(w)
		if err == nil {
			completed = c
		} else if firstRefusal == nil {
			firstRefusal = err
		}
		return err == nil
	}
	first := n.Prefix.Addr().Next()
	may(first) // completes for whom it is, whatever becomes of the address
	row, err := session.AskFor(ctx, prefixes[0].ID, recordOf(n, first, completed), o.reading.Source.Owner, may)
	if errors.Is(err, netbox.ErrLeft) {
		o.pass.phase("NetBox chose an address", err)
		return row, nil
	}
	if err != nil && firstRefusal != nil {
		err = fmt.Errorf("%w (of the first one it says: %w)", err, firstRefusal)
	}
	return row, err
}

// adopt has the source's own row ask, so that what it hands out for a time stays.
// Any other row is somebody else's.
func (o *office) adopt(ctx context.Context, row ipam.Stored) (ipam.Stored, bool, error) {
	owner := o.reading.Source.Owner
	if row.Owner != owner || row.ReserveAt != "" {
		return row, false, fmt.Errorf("%w: NetBox has a row of %s already (#%d); if it is to be held at the source, set its reserve_at to %s", ErrRequest, row.CIDR(), row.ID, owner)
	}
	if err := o.proposal.session.SetReserveAt(ctx, row.ID, owner); err != nil {
		return row, false, unsureOf(err)
	}
	row.ReserveAt = owner
	return row, true, nil
}

// alone makes sure that nobody made a row of the same address at the same time.
func (o *office) alone(ctx context.Context, row ipam.Stored) error {
	rows, err := o.proposal.session.At(ctx, []ipam.Place{row.Place})
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(rows, func(r ipam.Stored) bool { return r.ID != row.ID }); i >= 0 {
		return fmt.Errorf("%w: somebody made row #%d of %s at the same time", ErrRequest, rows[i].ID, row.CIDR())
	}
	return nil
}

// sameWish says in what a row that asks already differs from a wish. A wish that
// names nobody is content with any.
func (o *office) sameWish(row ipam.Stored, wish, completed ipam.Reservation) error {
	for _, h := range o.proposal.back.Holdings() { // used_by was filled in with the URI of what is held
		if h.Ours && h.Ref == row.Attrs.UsedBy {
			row.Attrs.UsedBy, row.Attrs.MAC = h.For, h.MAC
		}
	}
	asked := ipam.Reservation{Addr: completed.Addr, MAC: row.Attrs.MAC, For: row.Attrs.UsedBy}
	if (wish.MAC != "" || wish.NIC != "") && asked.MAC != completed.MAC || wish.For != "" && asked.For != completed.For {
		return fmt.Errorf("%w: row #%d asks for %s already, and not for %s; release that first", ErrRequest, row.ID, asked, completed)
	}
	return nil
}

// recordOf is the row of a wish.
func recordOf(n reserve.Network, addr netip.Addr, wish ipam.Reservation) ipam.Record {
	return ipam.Record{
		Place: ipam.PlaceOf(n.VRF, ipam.Address, ipam.HostPrefix(addr)),
		Attrs: ipam.Attrs{Mask: n.Prefix.Bits(), UsedBy: wish.For, MAC: wish.MAC, DNSName: dnsName(wish.Name), Description: description(wish.Name)},
	}
}
