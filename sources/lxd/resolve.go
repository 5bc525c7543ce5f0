package lxd

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"allocsync/ipam"
	"allocsync/sources"
)

// resolve joins the two lists, once everything is read: it names what the
// server could not name, finds the network of each instance's address, and
// keeps each fact once.
func (r *reading) resolve(context.Context) error {
	r.nameHolders()
	r.findNetworks()
	r.facts = slices.DeleteFunc(r.facts, r.misattributed)
	for _, d := range r.derived {
		if !slices.ContainsFunc(r.facts, func(a ipam.Allocation) bool { return sameFact(a, d) }) {
			r.facts = append(r.facts, d)
		}
	}
	return nil
}

// nameHolders puts the instance's name where the server wrote
// /1.0/instances/%2A: dnsmasq knows no host name for one of two instances of
// the same name in two projects (Incus 6.0.4). Such a URI is nobody's.
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

// misattributed reports whether the server lists the DHCPv6 lease of a shared
// project's instance as one of the network's own project, because the lease
// shows no MAC to tell by, though that project has no instance of the name.
func (r *reading) misattributed(a ipam.Allocation) bool {
	if r.roster == nil || a.Type != typeInstance || a.MAC != "" || r.roster.on(instanceID{a.Project, a.Name}, a.Network) {
		return false
	}
	return slices.ContainsFunc(r.derived, func(d ipam.Allocation) bool {
		return d.MAC == "" && d.Prefix == a.Prefix && d.Name == a.Name && d.Network == a.Network && d.Project != a.Project
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
	kept := r.facts[:0]
	for _, a := range r.facts {
		if a.Type == typeInstance && a.Network == "" {
			names := holding(prefixes[a.Project], a.Prefix.Addr())
			if len(names) > 1 {
				if r.roster == nil {
					// Left out rather than listed with another network than in
					// the next reading. Instances were asked for, and failed.
					r.addMissing("project "+a.Project, fmt.Errorf("%w: networks %q all hold %s, and the instances that would tell were not read", sources.ErrUnreachable, names, a.Prefix.Addr()))
					continue
				}
				names = slices.DeleteFunc(names, func(name string) bool {
					return !r.roster.on(instanceID{a.Project, a.Name}, name)
				})
			}
			if len(names) == 1 {
				a.Network = names[0]
			}
		}
		kept = append(kept, a)
	}
	r.facts = kept
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
