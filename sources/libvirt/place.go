package libvirt

import (
	"cmp"
	"net/url"
	"slices"

	"allocsync/ipam"
)

// host is what was read on one host.
type host struct {
	endpoint endpoint // how it was reached
	label    string   // how reports call it
	name     string   // its own host name, the project of what is not a server of Nova's
	domains  []listed
	networks []networkState

	partial         bool // some of its domains could not be read
	unknownNetworks bool // some of its networks could not be read
}

// listed is a domain as one host has it.
type listed struct {
	domain
	active bool
}

// networkState is a network with the leases of its DHCP server.
type networkState struct {
	network
	leases []lease
}

// copyOf is the copy of a domain that counts, and the host that has it.
type copyOf struct {
	listed
	host host
	on   int // of the host in the list
}

// choose finds the copy of each domain that counts, by UUID. While libvirt
// migrates a domain it is on two hosts, running on one; and a host may keep
// the definition of one that left. The one that runs counts, then the first in
// the order of the hosts.
func choose(hosts []host) map[string]copyOf {
	chosen := map[string]copyOf{}
	for on, h := range hosts {
		for _, d := range h.domains {
			if c, ok := chosen[d.uuid]; !ok || d.active && !c.active {
				chosen[d.uuid] = copyOf{d, h, on}
			}
		}
	}
	return chosen
}

// displayName is what the domain's user calls it.
func (c copyOf) displayName() string {
	if c.instance != nil {
		return cmp.Or(c.instance.name, c.name)
	}
	return c.name
}

// project is what facts that are no server's have as project.
func (h host) project() string { return cmp.Or(h.name, h.label) }

// site is a host with what is needed to tell whose a lease is.
type site struct {
	host
	bridges map[string]string // name of the network that a bridge belongs to
	seats   map[seat]occupant // whose a MAC on a network is
	blurred bool              // some domain or NIC could not be read: a MAC of no domain may be one of theirs
}

// seat is a place in a network.
type seat struct {
	network string
	mac     ipam.MAC
}

// occupant is a NIC, and its domain, at a seat.
type occupant struct {
	listed
	nic nic
}

func newSite(h host) site {
	s := site{host: h, bridges: map[string]string{}, seats: map[seat]occupant{}, blurred: h.partial}
	s.nameBridges()
	candidates := map[seat][]occupant{}
	for _, d := range h.domains {
		s.blurred = s.blurred || d.blurred
		for _, n := range d.nics {
			if network := s.networkOf(n); network != "" && n.mac != "" {
				at := seat{network, n.mac}
				candidates[at] = append(candidates[at], occupant{d, n})
			}
		}
	}
	for at, list := range candidates {
		if o, ok := settle(list); ok {
			s.seats[at] = o
		}
	}
	return s
}

// nameBridges finds the network of each bridge. A bridge that libvirt makes
// belongs to one network, the one with addresses; several networks may forward
// to a bridge of the administrator's, and then it cannot be told.
func (s site) nameBridges() {
	for _, withSubnets := range []bool{true, false} {
		found := map[string][]string{}
		for _, n := range s.networks {
			if n.bridge != "" && (len(n.subnets) > 0) == withSubnets {
				found[n.bridge] = append(found[n.bridge], n.name)
			}
		}
		for bridge, names := range found {
			if _, ok := s.bridges[bridge]; ok {
				continue
			}
			s.bridges[bridge] = ""
			if len(names) == 1 {
				s.bridges[bridge] = names[0]
			}
		}
	}
}

// networkOf returns the name of the network that a NIC is on, "" where it is on
// none of libvirt's.
func (s site) networkOf(n nic) string {
	if n.network != "" {
		return n.network
	}
	return s.bridges[n.bridge]
}

// hidden reports whether a NIC may be on a network that could not be read. What
// the network does with its addresses, and perhaps its name, is not known then.
func (s site) hidden(n nic) bool {
	if !s.unknownNetworks || n.network == "" && n.bridge == "" {
		return false
	}
	name := s.networkOf(n)
	return !slices.ContainsFunc(s.networks, func(state networkState) bool { return state.name == name })
}

// settle returns the NIC that has a seat. Of several domains, such as clones
// with the MAC of their original, it is the one that runs.
func settle(candidates []occupant) (occupant, bool) {
	var best occupant
	users := map[bool]map[string]bool{true: {}, false: {}}
	for _, o := range candidates {
		if len(users[o.active]) == 0 && (o.active || len(users[true]) == 0) {
			best = o
		}
		users[o.active][o.uuid] = true
	}
	if len(users[true]) == 1 || len(users[true]) == 0 && len(users[false]) == 1 {
		return best, true
	}
	return occupant{}, false
}

// serverURI is the used_by of a port: Nova's own path of the server.
func serverURI(uuid, port string) ipam.UsedBy {
	return ipam.UsedBy("/servers/" + uuid + "?port=" + port)
}

// domainURI is the used_by of a NIC that is no port.
func domainURI(uuid string, mac ipam.MAC) ipam.UsedBy {
	return ipam.UsedBy("/domains/" + uuid + "?mac=" + string(mac))
}

// networkURI is the used_by of a network.
func networkURI(uuid string) ipam.UsedBy { return ipam.UsedBy("/networks/" + uuid) }

// uri is the used_by of a client that is no domain: by its MAC, or the best of
// what else is known of it.
func (c client) uri(network string) ipam.UsedBy {
	uri := string(networkURI(network))
	switch {
	case c.mac != "":
		uri += "?mac=" + string(c.mac)
	case c.hardware != "":
		uri += "?mac=" + url.QueryEscape(c.hardware)
	case c.clientID != "":
		uri += "?client=" + url.QueryEscape(c.clientID)
	case c.name != "":
		uri += "?name=" + url.QueryEscape(c.name)
	default:
		uri += "?address=" + url.QueryEscape(c.addr.String())
	}
	return ipam.UsedBy(uri)
}
