package lxd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"

	"allocsync/ipam"
	"allocsync/sources"
)

// Survey returns what Snapshot does, and the addresses that are held: the
// static ones of instances' interfaces on managed networks, and every forward.
//
// What cannot be read of forwards or instances is Missing. An address that came
// or went while the lists were read is held only if it is in all of them.
func (s *Source) Survey(ctx context.Context) (sources.Survey, error) {
	ctx, cancel := sources.Bounded(ctx, s.options.Timeout)
	defer cancel()
	r, err := s.read(ctx, true)
	if err != nil {
		return sources.Survey{}, fmt.Errorf("survey of %s: %w", s.client.url, err)
	}
	d := newDesk(r)
	return sources.Survey{Snapshot: r.snapshot(), Held: d.held, Desk: d}, nil
}

// forward is a forward and the network that it is of.
type forward struct {
	network  network
	listener listener
}

func (r *reading) addForward(f forward) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forwards = append(r.forwards, f)
}

// readForwards reads the forwards of the networks that have any, for a Survey.
// Where there is no list of allocations they have been read already.
func (r *reading) readForwards(ctx context.Context) error {
	if !r.survey || !r.server.has(extAllocations) || !r.server.has(extForwards) {
		return nil
	}
	var having []network
	for _, a := range r.facts {
		n, known := r.networks[networkID{a.Project, a.Network}]
		if a.Type != typeForward || !known || slices.ContainsFunc(having, func(h network) bool { return h.id() == n.id() }) {
			continue
		}
		having = append(having, n)
	}
	return sources.Each(ctx, maxParallel, having, func(ctx context.Context, n network) error {
		var list []listener
		v := view{network: n, project: n.Project}
		err := r.client.get(ctx, at("networks", n.Name, "forwards"), url.Values{"recursion": {"1"}, "project": {n.Project}}, &list)
		switch {
		case notFound(err) && r.gone(ctx, v):
		case err != nil:
			r.addMissing("forwards of network "+n.Name+" of project "+n.Project, err)
		}
		for _, l := range list {
			r.addForward(forward{network: n, listener: l})
		}
		return nil
	})
}

func (n network) id() networkID { return networkID{n.Project, n.Name} }

// uri is how allocations of the network itself are used.
func (n network) uri() ipam.UsedBy { return writeURI(n.Project, "networks", n.Name) }

// gateway returns the network's own address of a family, with the length of
// its subnet.
func (n network) gateway(family string) (netip.Prefix, bool) {
	text := n.Config[family+".address"] // "none", "auto", or hidden
	if n.Type == "physical" {
		text = n.Config[family+".gateway"] // of somebody else's
	}
	p, err := ipam.ParsePrefix(text)
	return p, err == nil && p.Bits() < p.Addr().BitLen()
}

// holds reports whether an address lies in one of the network's subnets.
func (n network) holds(addr netip.Addr) bool {
	p, ok := n.gateway(familyOf(addr))
	return ok && p.Contains(addr)
}

// port is an interface of an instance on a managed network.
type port struct {
	nic
	network  network
	instance instance
	hardware ipam.MAC // "" where it has none yet
}

func (p port) user() ipam.UsedBy { return writeURI(p.instance.Project, "instances", p.instance.Name) }

// describe names the interface for people.
func (p port) describe() string {
	return fmt.Sprintf("%s of instance %s", p.device, p.instance.Name)
}

func (p port) running() bool { return p.instance.Status == "Running" }

// static lists the interface's static addresses of a family.
func (p port) static(family string) []netip.Addr {
	var list []netip.Addr
	for _, text := range staticAddresses(p.config[family+".address"]) {
		if addr, err := ipam.ParseAddr(text); err == nil { // others are Missing, where they count
			list = append(list, addr)
		}
	}
	return list
}

// reservation is the static address of an interface as Held lists it.
func (p port) reservation(addr netip.Addr) ipam.Reservation {
	r := ipam.Reservation{
		Network: p.network.uri(),
		Addr:    addr,
		MAC:     p.hardware,
		For:     p.user(),
		Name:    p.instance.Name,
		Ref:     p.user(),
		Type:    typeInstance,
		Mark:    markOf(p.instance.Config, p.device, addr, p.hardware),
	}
	if p.running() {
		r.InUse = "instance " + p.instance.Name + " runs"
	}
	return r
}

// reservation is the forward as Held lists it.
func (f forward) reservation() (ipam.Reservation, error) {
	addr, err := ipam.ParseAddr(f.listener.Address)
	if err != nil {
		return ipam.Reservation{}, err
	}
	r := ipam.Reservation{
		Network: f.network.uri(),
		Addr:    addr,
		Name:    f.listener.Description,
		Ref:     ipam.UsedBy(f.network.listenerRow(f.listener, typeForward).UsedBy),
		Type:    typeForward,
		Mark:    f.listener.Config[markKey],
		InUse:   f.listener.use(),
	}
	return r, r.Check()
}

// use says where a forward leads, "" where it leads nowhere.
func (l listener) use() string {
	targets := []string{l.Config["target_address"]}
	for _, p := range l.Ports {
		targets = append(targets, p.Target)
	}
	targets = slices.DeleteFunc(targets, func(t string) bool { return t == "" })
	slices.Sort(targets)
	targets = slices.Compact(targets)
	switch {
	case len(targets) == 1:
		return "forwards to " + targets[0]
	case len(targets) > 1:
		return fmt.Sprintf("forwards to %s and %d more", targets[0], len(targets)-1)
	case len(l.Ports) > 0:
		return "forwards ports"
	}
	return ""
}

// ports lists the interfaces on networks that belong to projects in scope.
func (d *desk) portsOf(i instance) []port {
	owner := d.owner(i.Project)
	var list []port
	for _, n := range i.nics() {
		on, known := d.networks[networkID{owner, n.network}]
		if !known && n.network == "" && owner == defaultProject {
			on, known = d.networks[networkID{owner, n.parent}] // a bridge of the host that is a managed one
		}
		if known {
			mac, err := ipam.ParseMAC(n.mac)
			if err != nil {
				mac = "" // the server checks them: none that could be meant
			}
			list = append(list, port{nic: n, network: on, instance: i, hardware: mac})
		}
	}
	slices.SortFunc(list, func(a, b port) int { return cmp.Compare(a.device, b.device) })
	return list
}

// standing lists what is held: what the lists of instances and of forwards
// state, as far as the allocations state it too.
func (d *desk) standing(forwards []forward) ([]ipam.Reservation, error) {
	var held []ipam.Reservation
	var errs []error
	keep := func(r ipam.Reservation, err error) {
		if err != nil {
			errs = append(errs, err)
			return
		}
		if slices.ContainsFunc(d.users[r.Addr], func(a ipam.Allocation) bool { return a.UsedBy == r.Ref && a.Type == r.Type }) {
			held = append(held, r)
		}
	}
	for _, p := range d.ports {
		for _, family := range families() {
			for _, addr := range p.static(family) {
				r := p.reservation(addr)
				keep(r, r.Check())
			}
		}
	}
	for _, f := range forwards {
		keep(f.reservation())
	}
	slices.SortFunc(held, ipam.Reservation.Compare)
	return slices.Compact(held), errors.Join(errs...)
}
