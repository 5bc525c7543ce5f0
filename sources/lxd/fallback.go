package lxd

import (
	"context"
	"net/url"
	"slices"
	"strings"
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
	slices.SortFunc(networks, func(a, b network) int { return strings.Compare(a.Name, b.Name) })
	for _, n := range networks {
		for _, w := range n.rows() {
			r.addRow(w)
		}
		if n.Type != "bridge" && n.Type != "ovn" {
			continue // macvlan, sriov and physical networks hand nothing out
		}
		part := "network " + n.Name + " of project " + p.Name
		if err := r.readNetworkLists(ctx, n); err != nil {
			r.addMissing(part, err)
		}
	}
	return nil
}

// readNetworkLists reads what one network hands out.
func (r *reading) readNetworkLists(ctx context.Context, n network) error {
	v := view{network: n, project: n.Project}
	leases, err := r.readLeases(ctx, v)
	if err != nil {
		return err
	}
	for _, l := range leases {
		kind := row{
			Addresses: []string{l.Address},
			UsedBy:    string(writeURI(n.Project, "instances", l.Hostname)),
			Type:      typeInstance,
			MAC:       l.MAC,
			NAT:       isTrue(n.Config[family(l.Address)+".nat"]),
			Network:   n.Name,
		}
		facts, err := kind.allocations()
		if err != nil {
			r.addMissing(kind.describe(), err)
			continue
		}
		for i := range facts {
			facts[i].Dynamic = l.Type == "dynamic"
		}
		r.add(facts...)
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

// family guesses the family of an address that has not been read yet.
func family(address string) string {
	if strings.Contains(address, ":") {
		return families[1]
	}
	return families[0]
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
	}
	return nil
}
