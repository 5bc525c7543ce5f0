package libvirt

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"allocsync/ipam"
	"allocsync/sources"
)

// How the URIs of users begin; see decision 0040.
const (
	domainsPath  = "/domains/"
	serversPath  = "/servers/"
	networksPath = "/networks/"
)

// understand finds the network and the client that a wish names, and completes
// the wish. Whether it can be met is another question.
func (d *desk) understand(wish ipam.Reservation) (spot, client, ipam.Reservation, error) {
	at, err := d.place(wish)
	if err != nil {
		return spot{}, client{}, wish, wishError("reserve", wish, cmp.Or(string(wish.Network), "a network"), err)
	}
	s := d.spot(at)
	wish.Network = networkURI(s.state.uuid)
	c, err := d.client(s, &wish)
	if err == nil && !wish.Addr.IsValid() {
		err = fmt.Errorf("%w: libvirt chooses from its dynamic ranges alone", sources.ErrNoChoice)
	}
	if err != nil {
		return spot{}, client{}, wish, wishError("reserve", wish, s.title(), err)
	}
	c.addr = wish.Addr
	return s, c, wish, nil
}

// place finds the network that is meant: by its URI, or by the address.
func (d *desk) place(r ipam.Reservation) (seatOfNetwork, error) {
	if r.Network == "" {
		return d.placeOf(r)
	}
	switch list := d.places[r.Network]; {
	case len(list) == 1:
		return list[0], nil
	case len(list) > 1:
		return seatOfNetwork{}, refuse("it is not known which of them is meant: %s have one UUID, as hosts have that are copies of one image; define the network anew on the copies (virsh net-undefine, net-define)", d.titles(list))
	case !d.options.Networks:
		return seatOfNetwork{}, refuse("no networks are read: set networks: true for this source")
	case !strings.HasPrefix(string(r.Network), networksPath), !isUUID(strings.TrimPrefix(string(r.Network), networksPath)):
		return seatOfNetwork{}, refuse("that is none of libvirt's networks, which are written /networks/UUID")
	case len(d.missing) > 0:
		return seatOfNetwork{}, unknown("it may be on a host, or among the networks, that could not be read: %s", d.missing[0].Part)
	}
	return seatOfNetwork{}, refuse("no host has this network")
}

// placeOf finds the only network that holds an address.
func (d *desk) placeOf(r ipam.Reservation) (seatOfNetwork, error) {
	if !r.Addr.IsValid() {
		return seatOfNetwork{}, fmt.Errorf("%w: and without one, name the network", sources.ErrNoChoice)
	}
	var list []seatOfNetwork
	for i, s := range d.sites {
		for j, n := range s.networks {
			for _, subnet := range n.subnets {
				if subnet.Contains(r.Addr) {
					list = append(list, seatOfNetwork{i, j})
					break
				}
			}
		}
	}
	switch {
	case len(list) > 1:
		return seatOfNetwork{}, refuse("several networks have this address, name one of them: %s", d.titles(list))
	case len(d.missing) > 0:
		return seatOfNetwork{}, unknown("which networks have this address is not known, as not all could be read: %s", d.missing[0].Part)
	case len(list) == 0:
		return seatOfNetwork{}, refuse("no network of libvirt's has this address")
	}
	return list[0], nil
}

// maxTold is how many networks a message names.
const maxTold = 5

func (d *desk) titles(list []seatOfNetwork) string {
	texts := make([]string, 0, maxTold)
	for _, at := range list[:min(len(list), maxTold)] {
		s := d.spot(at)
		texts = append(texts, fmt.Sprintf("%s (%s)", s.title(), networkURI(s.state.uuid)))
	}
	if extra := len(list) - maxTold; extra > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", extra))
	}
	return strings.Join(texts, ", ")
}

// client finds who a wish is for, and writes For and MAC as Held does.
func (d *desk) client(s spot, wish *ipam.Reservation) (client, error) {
	named := string(wish.For)
	switch {
	case strings.HasPrefix(named, serversPath):
		return client{}, errNova
	case strings.HasPrefix(named, networksPath):
		return d.clientOfNetwork(s, wish)
	case named != "" && strings.HasPrefix(named, "/") && !strings.HasPrefix(named, domainsPath):
		return client{}, refuse("%q is none of libvirt's: want /domains/UUID?mac=MAC, a domain's UUID or its name", short(named))
	case named != "":
		return d.clientOfDomain(s, wish)
	case wish.MAC == "":
		return client{}, refuse("it is for nobody, and libvirt cannot keep an address out of use, only serve one to a MAC: name a MAC (hwaddr) or a domain (used_by)")
	}
	return d.clientOfMAC(s, wish)
}

// errNova: Neutron gives out the addresses of Nova's servers.
var errNova = refuse("it is for a server of Nova's, whose addresses Neutron gives out: reserve it there, as a port with a fixed IP")

// clientOfMAC is who has a MAC: a domain's interface on the network, or a client
// of which only the MAC is known.
func (d *desk) clientOfMAC(s spot, wish *ipam.Reservation) (client, error) {
	if o, ok := s.site.seats[seat{s.state.name, wish.MAC}]; ok {
		c := d.chosen[o.uuid]
		if c.instance != nil {
			return client{}, errNova
		}
		wish.For = domainURI(o.uuid, wish.MAC)
		return client{mac: wish.MAC}, nil
	}
	for _, c := range d.chosen {
		if c.instance != nil && slices.ContainsFunc(c.nics, func(n nic) bool { return n.mac == wish.MAC }) {
			return client{}, errNova
		}
	}
	if s.site.blurred {
		return client{}, unknown("whose %s is cannot be told, as some domains of %s could not be read", wish.MAC, s.site.label)
	}
	wish.For = ""
	return client{mac: wish.MAC}, nil
}

// clientOfNetwork is who the URI of a reservation or lease of the network names.
func (d *desk) clientOfNetwork(s spot, wish *ipam.Reservation) (client, error) {
	if path := wish.For.Path(); path != string(networkURI(s.state.uuid)) {
		if wish.MAC != "" { // filled in for a reservation of before
			return d.clientOfMAC(s, wish)
		}
		return client{}, refuse("it is for a client of %s, which is another network", short(path))
	}
	if text := wish.For.Query("mac"); text != "" {
		mac, err := ipam.ParseMAC(text)
		if err != nil {
			return client{}, refuse("it is for %s, which names no MAC", short(string(wish.For)))
		}
		wish.MAC = cmp.Or(wish.MAC, mac) // the MAC itself counts: the URI was filled in for one of before
		return d.clientOfMAC(s, wish)
	}
	c := client{clientID: wish.For.Query("client"), name: wish.For.Query("name")}
	switch {
	case wish.MAC != "":
		return client{}, refuse("its MAC is %s, and it is for %s", wish.MAC, short(string(wish.For)))
	case c.clientID != "":
		if c.name = ""; !duid.MatchString(c.clientID) {
			return client{}, refuse("%q is no DUID, which is octets with colons: 0:1:0:1:2a", short(c.clientID))
		}
	case !isClientName(c.name):
		return client{}, refuse("%q names no client by mac, client or name", short(string(wish.For)))
	}
	wish.For = c.uri(s.state.uuid)
	return c, nil
}

// clientOfDomain is the interface of a domain that For names.
func (d *desk) clientOfDomain(s spot, wish *ipam.Reservation) (client, error) {
	named, mac := strings.TrimPrefix(wish.For.Path(), domainsPath), wish.MAC
	if text := wish.For.Query("mac"); text != "" {
		parsed, err := ipam.ParseMAC(text)
		if err != nil || mac != "" && parsed != mac {
			return client{}, refuse("its MAC is %s, and it is for %s", cmp.Or(mac, "none"), short(string(wish.For)))
		}
		mac = parsed
	}
	tenant, err := d.domainCalled(s, named)
	if err != nil {
		return client{}, err
	}
	if tenant.instance != nil {
		return client{}, errNova
	}
	var macs []ipam.MAC
	for _, n := range tenant.nics {
		if s.site.networkOf(n) == s.state.name && n.mac != "" && (mac == "" || n.mac == mac) && (wish.NIC == "" || n.target == wish.NIC) {
			macs = append(macs, n.mac)
		}
	}
	slices.Sort(macs)
	macs = slices.Compact(macs)
	switch {
	case len(macs) == 0 && wish.NIC != "":
		return client{}, refuse("domain %s has no interface %s on this network; interfaces have such names while the domain runs, so name the MAC", tenant.title(), short(wish.NIC))
	case len(macs) == 0 && mac != "":
		return client{}, refuse("domain %s has no interface %s on this network", tenant.title(), mac)
	case len(macs) == 0:
		return client{}, refuse("domain %s has no interface on this network", tenant.title())
	case len(macs) > 1:
		return client{}, refuse("domain %s has several interfaces on this network, name the MAC of one: %v", tenant.title(), macs)
	}
	if o, ok := s.site.seats[seat{s.state.name, macs[0]}]; !ok || o.uuid != tenant.uuid {
		return client{}, refuse("%s is the MAC of several domains on this network: give each its own", macs[0])
	}
	wish.MAC, wish.For, wish.NIC = macs[0], domainURI(tenant.uuid, macs[0]), ""
	return client{mac: macs[0]}, nil
}

// domainCalled finds a domain of the host by its UUID or name.
func (d *desk) domainCalled(s spot, named string) (domain, error) {
	for _, tenant := range s.site.domains {
		if !strings.EqualFold(tenant.uuid, named) && tenant.name != named {
			continue
		}
		if c := d.chosen[tenant.uuid]; c.host.label != s.site.label {
			return domain{}, refuse("domain %s is on %s, and this network is not", tenant.title(), c.host.label)
		}
		return tenant.domain, nil
	}
	if s.site.partial {
		return domain{}, unknown("domain %q may be one of those of %s that could not be read", short(named), s.site.label)
	}
	return domain{}, refuse("%s has no domain %q", s.site.label, short(named))
}

// checkDomains refuses an address that a domain says it has on the network, by
// Nova's metadata or at an interface.
func (s spot) checkDomains(c client) error {
	for _, d := range s.site.domains {
		for _, n := range d.nics {
			if s.site.networkOf(n) != s.state.name || n.mac == c.mac && c.mac != "" {
				continue
			}
			for _, a := range n.addresses {
				if a.Addr() == c.addr {
					return refuse("domain %s is configured with it", d.title())
				}
			}
			if p, ok := d.instance.portOf(n); ok {
				if _, ok := p.states(c.addr); ok {
					return refuse("it is an address of Nova's, of domain %s", d.title())
				}
			}
		}
	}
	return nil
}

// hold notes a static host as a reservation. What it states is in facts: whose
// it is cannot be told of one that is not. lessee is who leases the address, nil
// for nobody.
func (b *book) hold(s site, n network, c client, lessee *client) {
	fact, _, ok := b.clientFact(s, n, c)
	if !ok {
		return
	}
	r := ipam.Reservation{
		Network: networkURI(n.uuid), Addr: c.addr, MAC: c.mac, Name: c.name,
		Ref: fact.UsedBy, Type: fact.Type, Unmarkable: true, InUse: s.inUse(n.name, c, lessee),
	}
	if fact.Type != typeReservation || c.mac == "" {
		r.For = fact.UsedBy
	}
	if r.Check() == nil && fact.Check() == nil {
		b.held = append(b.held, r)
	}
}

// inUse says who uses a client's address on a network at the moment: whoever
// leases it, nil for nobody, else the domain with the client's MAC, if it runs.
func (s site) inUse(network string, c client, lessee *client) string {
	if lessee != nil {
		return "leased to " + lessee.whose()
	}
	if o, ok := s.seats[seat{network, c.mac}]; ok && c.mac != "" && o.active {
		return "domain " + o.title() + " runs"
	}
	return ""
}
