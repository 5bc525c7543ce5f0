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

// readInstances reads the instances where they are needed: to find the
// networks of shared projects' instances and to name the holders of their
// leases, for the static addresses on OVN networks, and for those of routed
// NICs; and for a Survey, always. It reads no state (recursion=1): a stopped instance's devices say as
// much, and state would make the server ask every running instance.
func (r *reading) readInstances(ctx context.Context) error {
	shared := slices.ContainsFunc(r.projects, func(p project) bool { return p.shared() && p.instances() })
	if !shared && !r.options.RoutedNICs && !r.anyOVN() && !r.survey {
		return nil
	}
	var list []instance
	if r.all() && r.server.has(extInstancesAll) {
		query := url.Values{"recursion": {"1"}, "all-projects": {"true"}}
		if err := r.client.get(ctx, at("instances"), query, &list); err != nil {
			r.addMissing("instances", err)
			r.unlisted = true
		}
	} else {
		projects := r.projects
		err := sources.Each(ctx, maxParallel, projects, func(ctx context.Context, p project) error {
			var some []instance
			query := url.Values{"recursion": {"1"}, "project": {p.Name}}
			if err := r.client.get(ctx, at("instances"), query, &some); err != nil {
				r.addMissing("project "+p.Name, err)
				r.mu.Lock()
				defer r.mu.Unlock()
				r.unlisted = true
				return nil
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, i := range some {
				i.Project = p.Name // not written before the extension instance_all_projects
				list = append(list, i)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	r.roster = newRoster(list)
	for _, i := range list {
		r.addStatics(i)
	}
	return nil
}

func (r *reading) anyOVN() bool {
	for _, n := range r.networks {
		if n.Type == "ovn" {
			return true
		}
	}
	return false
}

// addStatics adds the static addresses of an instance's OVN and routed NICs.
// Running instances are not left out: one that started while the lists were
// read is in neither list otherwise. Those that the server listed itself are
// the same fact, see resolve.
func (r *reading) addStatics(i instance) {
	for _, n := range i.nics() {
		on, managed := r.networks[networkID{r.ownerOf(i.Project), n.network}]
		routed := r.options.RoutedNICs && (n.kind == "routed" || n.kind == "ipvlan")
		if (!managed || on.Type != "ovn") && !routed {
			continue
		}
		for _, text := range n.addresses {
			addr, err := ipam.ParseAddr(text)
			if err != nil {
				r.addMissing(fmt.Sprintf("instance %s of project %s", i.Name, i.Project), err)
				continue
			}
			f := instanceFact{name: i.Name, project: i.Project, network: on.Name, address: text, mac: n.mac, nat: r.nat(on, addr)}
			a, err := f.allocation()
			if err != nil {
				r.addMissing(fmt.Sprintf("instance %s of project %s", i.Name, i.Project), err)
				continue
			}
			r.derived = append(r.derived, a)
		}
	}
}

// ownerOf returns the project that owns the networks of a project's instances.
func (r *reading) ownerOf(name string) string {
	for _, p := range r.projects {
		if p.Name == name {
			return p.owner()
		}
	}
	return name
}

// nat reports whether a network hides addresses of the family of addr. A
// restricted certificate is not shown the configuration of another project's
// network (Incus 6.0.4); the network's own row tells it then, where it is
// listed.
func (r *reading) nat(n network, addr netip.Addr) bool {
	if len(n.Config) > 0 {
		return isTrue(n.Config[familyOf(addr)+".nat"])
	}
	for _, a := range slices.Concat(r.facts, r.hidden) {
		if a.Type == typeNetwork && a.Project == n.Project && a.Network == n.Name && a.Prefix.Addr().Is4() == addr.Is4() {
			return a.NAT
		}
	}
	return false
}
