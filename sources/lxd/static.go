package lxd

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"allocsync/ipam"
	"allocsync/sources"
)

// considerStatic completes a wish for an instance, or for the interface with a
// MAC, and says why it cannot be met, as far as the Survey tells.
func (d *desk) considerStatic(wish ipam.Reservation) (ipam.Reservation, error) {
	p, err := d.portFor(wish)
	if err != nil {
		return wish, err
	}
	if !p.has(wish.Addr) {
		if err := p.freed(wish).fits(wish.Addr); err != nil {
			return wish, err
		}
		if err := d.vacant(p.network, wish, p.user(), p.hardware); err != nil {
			return wish, err
		}
	}
	wish.Network, wish.For, wish.MAC, wish.NIC = p.network.uri(), p.user(), p.hardware, ""
	return wish, nil
}

// portFor finds the one interface that a wish means.
func (d *desk) portFor(wish ipam.Reservation) (port, error) {
	if wish.Network != "" {
		if _, err := d.networkAt(wish.Network); err != nil {
			return port{}, err
		}
	}
	user := parseURI(string(wish.For))
	var meant, found []port
	for _, p := range d.ports {
		if !p.meant(wish, user) {
			continue
		}
		meant = append(meant, p)
		if p.network.uri() == wish.Network || wish.Network == "" && p.network.holds(wish.Addr) {
			found = append(found, p)
		}
	}
	switch {
	case len(found) == 1 && found[0].hardware == "":
		return port{}, refused("%s has no MAC yet: start the instance once", found[0].describe())
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		var names []string
		for _, p := range found {
			names = append(names, fmt.Sprintf("%s (%s, %s on %s)", p.user(), p.device, p.mac, p.network.Name))
		}
		return port{}, refused("several interfaces are meant, name one by its instance's URI and its MAC: %s", strings.Join(names, ", "))
	}
	return port{}, d.noPort(wish, meant)
}

// meant reports whether a wish is for this interface: by the instance's URI,
// which user is, or plain name, and by the MAC.
func (p port) meant(wish ipam.Reservation, user uri) bool {
	if wish.MAC != "" && p.hardware != wish.MAC || wish.NIC != "" && p.device != wish.NIC {
		return false
	}
	switch {
	case wish.For == "" || string(wish.For) == p.instance.Name:
		return true
	case !strings.HasPrefix(string(wish.For), "/1.0/"):
		return false
	}
	return user.instance == p.instance.Name && user.project == p.instance.Project
}

// noPort says why no interface is the one that a wish means; meant are those
// that would be, on another network.
func (d *desk) noPort(wish ipam.Reservation, meant []port) error {
	where := fmt.Sprintf("on a managed network that holds %s", wish.Addr)
	if wish.Network != "" {
		where = "on " + string(wish.Network)
	}
	if len(meant) > 0 {
		var names []string
		for _, p := range meant {
			names = append(names, p.device+" on "+p.network.Name)
		}
		return refused("instance %s has no such interface %s (it has %s)", meant[0].instance.Name, where, strings.Join(names, ", "))
	}
	if d.unread {
		return fmt.Errorf("%w: not all instances could be read", sources.ErrUnreachable)
	}
	if wish.For == "" {
		return refused("no instance has an interface with the MAC %s %s: Incus and LXD serve DHCP to their own instances only", wish.MAC, where)
	}
	u := parseURI(string(wish.For))
	switch {
	case strings.Contains(string(wish.For), "/") && u.instance == "":
		return refused("%s is no instance of this server: want /1.0/instances/NAME?project=PROJECT, or NAME", wish.For)
	case u.instance != "" && !slices.ContainsFunc(d.projects, func(p project) bool { return p.Name == u.project }):
		return refused("the project %s of %s is not among those that are read", u.project, wish.For)
	case wish.MAC != "":
		return refused("%s is no instance with an interface with the MAC %s %s", wish.For, wish.MAC, where)
	}
	return refused("%s is no instance with an interface %s", wish.For, where)
}

// freed is the interface without the static address that a wish gives up, if it
// is one of ours.
func (p port) freed(wish ipam.Reservation) port {
	family := familyOf(wish.Addr)
	for _, a := range p.static(family) {
		if wish.Mark != "" && wish.Ref == p.user() && p.reservation(a).Mark == wish.Mark {
			p.config = cloned(p.config, family+".address", "")
		}
	}
	return p
}

// has reports whether an address is a static one of the interface.
func (p port) has(addr netip.Addr) bool { return slices.Contains(p.static(familyOf(addr)), addr) }

// fits says why an interface cannot have a static address, whoever else has it.
func (p port) fits(addr netip.Addr) error {
	family, n := familyOf(addr), p.network
	if err := n.admits(addr); err != nil {
		return err
	}
	has := p.config[family+".address"]
	filtered := isTrue(p.config["security."+family+"_filtering"])
	switch {
	case has != "":
		return refused("%s has %s.address %s already: release or remove that first", p.describe(), family, has)
	case n.Type != "bridge" && n.Type != "ovn":
		return refused("network %s is of type %s, which serves no addresses", n.Name, n.Type)
	case isFalse(n.Config[family+".dhcp"]) && !filtered:
		return refused("network %s serves no DHCP (%s.dhcp is false)", n.Name, family)
	case family == "ipv6" && !isTrue(n.Config["ipv6.dhcp.stateful"]) && (!filtered || n.Type == "ovn"):
		return refused("static IPv6 addresses need DHCPv6 with addresses: set ipv6.dhcp.stateful to true on network %s", n.Name)
	case family == "ipv6" && n.Type == "ovn" && p.config["ipv4.address"] == "":
		return refused("on OVN a static IPv6 address needs a static IPv4 address on %s first", p.describe())
	case n.Type == "ovn" && p.running():
		return refused("%s runs, and on OVN the server would take its interface out and put it in again: stop it first", p.instance.Name)
	}
	return nil
}

// admits says why an address is none that a host on the network could have.
func (n network) admits(addr netip.Addr) error {
	gateway, ok := n.gateway(familyOf(addr))
	switch {
	case !ok && len(n.Config) == 0:
		return refused("the configuration of network %s is hidden from this client: its certificate is restricted to other projects", n.Name)
	case !ok:
		return refused("network %s has no subnet of this family", n.Name)
	case !gateway.Contains(addr):
		return refused("%s lies outside of network %s (%s)", addr, n.Name, gateway.Masked())
	case addr == gateway.Addr():
		return refused("%s is the network's own address, its gateway", addr)
	case addr.Is4() && gateway.Bits() < 31 && (addr == gateway.Masked().Addr() || addr == ipam.LastAddr(gateway)):
		return refused("%s is the first or the last address of %s, which no host may have", addr, gateway.Masked())
	case addr.Is6() && gateway.Bits() < 127 && addr == gateway.Masked().Addr():
		return refused("%s is the first address of %s, which means any router", addr, gateway.Masked())
	}
	return nil
}

// vacant says who has an address on a network, as the Survey lists it, other
// than one interface of one instance. The instance's own lease of the address
// is what a reservation makes permanent. What a wish names by its Ref is given
// up before.
func (d *desk) vacant(n network, wish ipam.Reservation, user ipam.UsedBy, mac ipam.MAC) error {
	addr := wish.Addr
	ground, inside := d.ground(n, addr)
	for _, a := range d.users[addr] {
		there := inside && (a.Network == "" || a.Network == ground.Name) && d.owner(a.Project) == ground.Project
		listens := a.Type == typeForward || a.Type == typeLoadBalancer
		if !there && (n.holds(addr) || !listens) {
			continue // the same address in another network that knows nothing of this one
		}
		if a.UsedBy == user && (a.MAC == mac || a.MAC == "") || wish.Ref != "" && a.UsedBy == wish.Ref {
			continue
		}
		return refused("%s is taken: %s", addr, holder(a))
	}
	for _, p := range d.statics[addr] { // maybe one that no list of allocations has
		if p.network.id() == n.id() && (p.user() != user || p.hardware != mac) && p.user() != wish.Ref {
			return refused("%s is taken: it is the static address of %s", addr, p.describe())
		}
	}
	return nil
}

// holder says whose an allocation is.
func holder(a ipam.Allocation) string {
	switch a.Type {
	case typeInstance:
		return fmt.Sprintf("%s has it, as a static address or a lease", a.UsedBy)
	case typeForward, typeLoadBalancer:
		return fmt.Sprintf("%s listens on it", a.UsedBy)
	case typeNetwork:
		return fmt.Sprintf("it is the gateway of %s", a.UsedBy)
	}
	return fmt.Sprintf("%s has it (%s)", a.UsedBy, a.Type)
}
