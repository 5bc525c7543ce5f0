package lxd

import (
	"context"
	"net/netip"
	"slices"

	"allocsync/ipam"
)

// resolve joins the two lists, once everything is read: it names what the
// server could not name, finds the network of each instance's address, and
// keeps each fact once.
func (r *reading) resolve(context.Context) error {
	r.nameHolders()
	r.findNetworks()
	r.facts = slices.DeleteFunc(r.facts, func(a ipam.Allocation) bool {
		return a.Type == typeInstance && (r.doubtful(a) || r.misattributed(a))
	})
	for _, d := range r.derived {
		if !slices.ContainsFunc(r.facts, func(a ipam.Allocation) bool { return sameFact(a, d) }) {
			r.facts = append(r.facts, d)
		}
	}
	return nil
}

// nameHolders puts the instance's name where the server wrote
// /1.0/instances/%2A: dnsmasq knows no host name for one of two instances of
// the same name in two projects (Incus 6.0.4). Such a URI is nobody's, and
// which of the two has it changes with their leases.
func (r *reading) nameHolders() {
	for i, a := range r.facts {
		if a.Type != typeInstance || a.Name != "*" {
			continue
		}
		if name := r.roster.named(a.Project, string(a.MAC)); name != "" {
			r.facts[i].Name = name
			r.facts[i].UsedBy = writeURI(a.Project, "instances", name)
		}
	}
}

// doubtful reports whether only the instances could tell whose address it is,
// and they could not be read. That they are missing has been noted; to list
// the address under the wrong name would be worse than to leave it out.
func (r *reading) doubtful(a ipam.Allocation) bool {
	return r.unlisted && (a.Name == "*" || a.MAC == "" || a.Network == "")
}

// misattributed reports whether the server lists the DHCPv6 lease of a shared
// project's instance as one of the project that owns the network: such a lease
// shows no MAC to tell by. It is the shared project's if only there is an
// instance of that name on the network, and is read with that project's leases.
func (r *reading) misattributed(a ipam.Allocation) bool {
	if r.roster == nil || a.MAC != "" || r.roster.on(instanceID{a.Project, a.Name}, a.Network) {
		return false
	}
	return slices.ContainsFunc(r.projects, func(p project) bool {
		return p.shared() && p.owner() == a.Project && r.roster.on(instanceID{p.Name, a.Name}, a.Network)
	})
}

// sameFact reports whether an instance's address that was found in two lists
// is one. Of the two, the server's own is kept.
func sameFact(listed, derived ipam.Allocation) bool {
	return listed.UsedBy == derived.UsedBy && listed.Type == derived.Type &&
		listed.Prefix == derived.Prefix && listed.Network == derived.Network &&
		(listed.MAC == derived.MAC || listed.MAC == "" || derived.MAC == "")
}

// findNetworks finds the networks of instances' addresses on servers that do
// not write them: the one network of the project whose prefix holds the
// address. Networks of one project may overlap only on OVN; then the
// instance's NICs decide.
func (r *reading) findNetworks() {
	prefixes := map[string][]ipam.Allocation{} // by the project that owns the network
	for _, a := range r.facts {
		if a.Kind == ipam.Prefix && a.Type == typeNetwork {
			prefixes[a.Project] = append(prefixes[a.Project], a)
		}
	}
	for i, a := range r.facts {
		if a.Type == typeInstance && a.Network == "" {
			names := holding(prefixes[a.Project], a.Prefix.Addr())
			if len(names) > 1 {
				names = slices.DeleteFunc(names, func(name string) bool {
					return !r.roster.on(instanceID{a.Project, a.Name}, name)
				})
			}
			if len(names) == 1 {
				r.facts[i].Network = names[0]
			}
		}
	}
}

// holding lists the networks whose prefix holds an address, each once.
func holding(networks []ipam.Allocation, addr netip.Addr) []string {
	var names []string
	for _, n := range networks {
		if n.Prefix.Contains(addr) {
			names = append(names, n.Network)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
