package lxd

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"slices"

	"allocsync/ipam"
	"allocsync/sources"
)

// view is a network as one project sees it: its leases are those of that
// project's instances.
type view struct {
	network network
	project string
}

func (v view) describe() string {
	return fmt.Sprintf("leases of network %s in project %s", v.network.Name, v.project)
}

// readSharedLeases reads the addresses of instances in projects that use the
// default project's networks. No list of allocations has them.
func (r *reading) readSharedLeases(ctx context.Context) error {
	return sources.Each(ctx, maxParallel, r.sharedViews(), func(ctx context.Context, v view) error {
		leases, err := r.readLeases(ctx, v)
		if err != nil {
			r.addMissing("project "+v.project, err)
			return nil
		}
		for _, l := range leases {
			r.addLease(v, l)
		}
		return nil
	})
}

// sharedViews lists the networks that shared projects' instances are on. They
// are taken from the instances' NICs and not from the networks' used_by: that
// is empty for OVN networks, and for restricted certificates (Incus 6.0.4).
func (r *reading) sharedViews() []view {
	if r.roster == nil {
		return nil
	}
	type key struct{ network, project string }
	seen := map[key]bool{}
	var views []view
	for _, i := range r.roster.list {
		owner := r.ownerOf(i.Project)
		if owner == i.Project {
			continue
		}
		for _, n := range r.roster.nics[instanceID{i.Project, i.Name}] {
			on, known := r.networks[networkID{owner, n.network}]
			if !known {
				on, known = r.networks[networkID{owner, n.parent}]
			}
			if !known && n.network != "" {
				on, known = network{Name: n.network, Project: owner}, true // made just now
			}
			if k := (key{on.Name, i.Project}); known && !seen[k] {
				seen[k] = true
				views = append(views, view{network: on, project: i.Project})
			}
		}
	}
	return views
}

// readLeases reads the leases of instances. It returns none for networks that
// keep no leases and for those that have gone meanwhile.
func (r *reading) readLeases(ctx context.Context, v view) ([]lease, error) {
	var leases []lease
	err := r.client.get(ctx, at("networks", v.network.Name, "leases"), url.Values{"project": {v.project}}, &leases)
	switch {
	case err == nil:
	case notOffered(err):
		return nil, nil
	case notFound(err) && r.gone(ctx, v):
		return nil, nil
	default:
		return nil, err
	}
	return slices.DeleteFunc(leases, func(l lease) bool { return !l.handedOut() }), nil
}

// gone reports whether a network was deleted since it was listed. A project
// that was asked for by name and is gone is not taken as an answer.
func (r *reading) gone(ctx context.Context, v view) bool {
	var n network
	query := url.Values{"project": {v.project}}
	if err := r.client.get(ctx, at("networks", v.network.Name), query, &n); !notFound(err) {
		return false
	}
	if r.all() {
		return true
	}
	var p project
	return r.client.get(ctx, at("projects", v.project), nil, &p) == nil
}

// addLease adds a lease as a shared project shows it, once it is clear which
// instance holds it.
func (r *reading) addLease(v view, l lease) {
	name := r.holder(v, l)
	if name == "" {
		if l.MAC != "" {
			err := fmt.Errorf("%w: the holder of %s (%s) on network %s is not among the project's instances; read again", sources.ErrUnreachable, l.Address, l.MAC, v.network.Name)
			r.addMissing("project "+v.project, err)
		}
		return // a DHCPv6 lease of another project's instance, which that project shows
	}
	addr, err := ipam.ParseAddr(l.Address)
	if err != nil {
		r.addMissing("project "+v.project, fmt.Errorf("read %s: %w", v.describe(), err))
		return
	}
	a, err := l.allocation(v.network, v.project, name, r.nat(v.network, addr))
	if err != nil {
		r.addMissing("project "+v.project, fmt.Errorf("read %s: %w", v.describe(), err))
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.derived = append(r.derived, a)
}

// holder returns the name of the instance that holds a lease in a project.
//
// The host name is a hint only. dnsmasq gives it to one of several instances
// of the same name on a bridge, the others get "*"; so the MAC decides. A
// DHCPv6 lease shows no MAC, and for want of it is shown to every project: it
// belongs to this one if an instance of that name is on the network.
func (r *reading) holder(v view, l lease) string {
	if name := r.roster.named(v.project, l.MAC); name != "" {
		return name
	}
	known := l.Hostname != "" && l.Hostname != "*"
	if l.MAC != "" && known {
		return l.Hostname // made since the instances were listed: the server filters leases by the project's MACs
	}
	if known && r.roster.on(instanceID{v.project, l.Hostname}, v.network.Name) {
		return l.Hostname
	}
	return ""
}

// readContested asks for the leases of networks on which one address stands
// with several instances: a static address of one and, until it expires, the
// lease of another. With the option lease_types, of every network.
func (r *reading) readContested(ctx context.Context) error {
	if !r.server.has(extAllocations) {
		return nil // the facts were made from leases
	}
	contested := r.contested()
	var views []view
	for id, n := range r.networks {
		if len(contested[id]) > 0 || (r.options.LeaseTypes && r.holdsInstances(id)) {
			views = append(views, view{network: n, project: id.owner})
		}
	}
	return sources.Each(ctx, maxParallel, views, func(ctx context.Context, v view) error {
		leases, err := r.readLeases(ctx, v)
		if err != nil {
			r.addMissing(fmt.Sprintf("leases of network %s of project %s", v.network.Name, v.project), err)
		}
		only := contested[networkID{v.network.Project, v.network.Name}]
		if r.options.LeaseTypes {
			only = nil
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil && r.options.LeaseTypes {
			// Rules ask whether an address is a lease, and "no" is no answer to
			// that: left out, its row stays as it is.
			r.facts = slices.DeleteFunc(r.facts, func(a ipam.Allocation) bool {
				return a.Type == typeInstance && a.Project == v.project && a.Network == v.network.Name
			})
		}
		if err != nil {
			return nil
		}
		markDynamic(r.facts, v, leases, only)
		return nil
	})
}

// contested returns the addresses of each network that several instances have.
func (r *reading) contested() map[networkID][]netip.Addr {
	type place struct {
		id   networkID
		addr netip.Addr
	}
	users := map[place]ipam.UsedBy{}
	contested := map[networkID][]netip.Addr{}
	for _, a := range r.facts {
		if a.Type != typeInstance || a.Network == "" {
			continue
		}
		at := place{networkID{r.ownerOf(a.Project), a.Network}, a.Prefix.Addr()}
		if user, ok := users[at]; ok && user != a.UsedBy {
			contested[at.id] = append(contested[at.id], at.addr)
		}
		users[at] = a.UsedBy
	}
	return contested
}

func (r *reading) holdsInstances(id networkID) bool {
	return slices.ContainsFunc(r.facts, func(a ipam.Allocation) bool {
		return a.Type == typeInstance && a.Project == id.owner && a.Network == id.name
	})
}

// markDynamic marks the facts that are leases; with only, those of these
// addresses and no others, so that a fact does not change because another
// address of its network became contested.
func markDynamic(facts []ipam.Allocation, v view, leases []lease, only []netip.Addr) {
	for i, a := range facts {
		if a.Type != typeInstance || a.Project != v.project || a.Network != v.network.Name {
			continue
		}
		if only != nil && !slices.Contains(only, a.Prefix.Addr()) {
			continue
		}
		facts[i].Dynamic = slices.ContainsFunc(leases, func(l lease) bool {
			if l.Type != "dynamic" || l.Address != a.Prefix.Addr().String() {
				return false
			}
			if a.MAC != "" && l.MAC != "" {
				return l.MAC == string(a.MAC)
			}
			return l.Hostname == a.Name
		})
	}
}
