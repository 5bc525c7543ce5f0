package lxd

import (
	"context"
	"net/url"

	"allocsync/sources"
)

// readProjectLists reads from its parts what a server with the extension
// network_allocations lists itself: the project's networks, and of each its
// leases, forwards and load balancers.
func (r *reading) readProjectLists(ctx context.Context, p project) error {
	r.mu.Lock()
	var networks []network
	for id, n := range r.networks {
		if id.owner == p.Name {
			networks = append(networks, n)
		}
	}
	r.mu.Unlock()
	return sources.Each(ctx, maxParallel, networks, func(ctx context.Context, n network) error {
		for _, w := range n.rows() {
			r.addRow(w)
		}
		if n.Type != "bridge" && n.Type != "ovn" {
			return nil // macvlan, sriov and physical networks hand nothing out
		}
		if err := r.readNetworkLists(ctx, n); err != nil {
			r.addMissing("network "+n.Name+" of project "+p.Name, err)
		}
		return nil
	})
}

// readNetworkLists reads what one network hands out.
func (r *reading) readNetworkLists(ctx context.Context, n network) error {
	v := view{network: n, project: n.Project}
	leases, err := r.readLeases(ctx, v)
	if err != nil {
		return err
	}
	for _, l := range leases {
		w := row{
			Addresses: []string{l.Address},
			UsedBy:    string(writeURI(n.Project, "instances", l.Hostname)),
			Type:      typeInstance,
			MAC:       l.MAC,
			Network:   n.Name,
		}
		facts, err := w.allocations()
		if err != nil {
			r.addMissing(w.describe(), err)
			continue
		}
		for _, a := range facts {
			a.NAT = isTrue(n.Config[familyOf(a.Prefix.Addr())+".nat"])
			a.Dynamic = l.Type == "dynamic"
			r.add(a)
		}
	}
	if r.server.has(extForwards) {
		if err := r.readListeners(ctx, v, typeForward, "forwards"); err != nil {
			return err
		}
	}
	if r.server.has(extLoadBalancers) && n.Type == "ovn" {
		return r.readListeners(ctx, v, typeLoadBalancer, "load-balancers")
	}
	return nil
}

func (r *reading) readListeners(ctx context.Context, v view, kind, collection string) error {
	var list []listener
	query := url.Values{"recursion": {"1"}, "project": {v.project}}
	err := r.client.get(ctx, at("networks", v.network.Name, collection), query, &list)
	if notOffered(err) || (notFound(err) && r.gone(ctx, v)) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, l := range list {
		r.addRow(v.network.listenerRow(l, kind))
		if r.survey && kind == typeForward {
			r.addForward(forward{network: v.network, listener: l})
		}
	}
	return nil
}
