package libvirt

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"allocsync/ipam"
)

// network is what is read of a network's XML (virNetworkGetXMLDesc with flags
// 0, https://libvirt.org/formatnetwork.html).
type network struct {
	uuid, name, bridge string
	nat4, nat6         bool
	subnets            []netip.Prefix // <ip>: the host's own address with the length of the subnet
	hosts              []staticHost
	parts              []part  // every <ip>, in the order by which virNetworkUpdate counts them
	faults             []error // what makes no sense, each without the network's name
}

// staticHost is a <host> of a network's DHCP server. IPv4 hosts have a MAC or
// a name, IPv6 hosts a client id (DUID) or a name.
type staticHost struct {
	addr           netip.Addr
	mac            ipam.MAC
	clientID, name string
}

// lease is an entry of virNetworkGetDHCPLeases.
type lease struct {
	address, mac, clientID, hostname string
}

// hides reports whether the network translates the addresses of a family.
func (n network) hides(addr netip.Addr) bool {
	if addr.Is4() {
		return n.nat4
	}
	return n.nat6
}

// parseNetwork reads the XML of a network. With an error nothing of it can be
// used; what else makes no sense is in the network's faults, and the rest of
// the network stands.
func parseNetwork(text string) (network, error) {
	var n network
	err := walk(text, "network", func(doc *document) error {
		return doc.children(func(e element) error {
			if e.space != "" {
				return nil
			}
			var err error
			switch e.local {
			case "name":
				n.name, err = doc.text()
			case "uuid":
				n.uuid, err = doc.text()
			case "bridge":
				n.bridge = e.attribute("name")
			case "forward":
				err = n.readForward(doc, e)
			case "ip":
				err = n.readSubnet(doc, e)
			}
			return err
		})
	})
	switch {
	case err != nil:
		return network{}, fmt.Errorf("read network XML: %w", err)
	case !isUUID(n.uuid):
		return network{}, fmt.Errorf("read network XML: uuid %q: want 36 hexadecimal digits and dashes", short(n.uuid))
	}
	return n, nil
}

// readForward reads how the network reaches others. Without a mode it is NAT.
// That hides IPv4 only, but for <nat ipv6="yes"> (since libvirt 6.5.0).
func (n *network) readForward(doc *document, e element) error {
	if mode := e.attribute("mode"); mode != "" && mode != "nat" {
		return nil
	}
	n.nat4 = true
	return doc.children(func(e element) error {
		if e.local == "nat" && e.space == "" {
			n.nat6 = e.attribute("ipv6") == "yes"
		}
		return nil
	})
}

// readSubnet reads an <ip> of the network, and the static hosts in it whatever
// is wrong with the address around them.
func (n *network) readSubnet(doc *document, e element) error {
	subnet, err := subnetOf(e)
	if err != nil {
		n.faults = append(n.faults, err)
	} else {
		n.subnets = append(n.subnets, subnet)
	}
	p := part{subnet: subnet}
	err = doc.children(func(e element) error {
		if e.local != "dhcp" || e.space != "" {
			return nil
		}
		return doc.children(func(e element) error {
			if e.space == "" {
				n.readDHCP(&p, e)
			}
			return nil
		})
	})
	n.parts = append(n.parts, p)
	return err
}

// readDHCP reads an element of <dhcp>.
func (n *network) readDHCP(p *part, e element) {
	switch e.local {
	case "range":
		p.ranges = append(p.ranges, rangeOf(e))
	case "host":
		host, err := staticHostOf(e)
		if err != nil && e.attribute("ip") != "" { // without one there is no address to state
			n.faults = append(n.faults, fmt.Errorf("static DHCP host %s: %w", short(e.attribute("ip")), err))
		}
		if err != nil {
			return
		}
		p.hosts = append(p.hosts, host)
		if host.addr.IsValid() {
			n.hosts = append(n.hosts, host)
		}
	}
}

// staticHostOf reads <host mac= id= name= ip=>. The address may be left out: the
// host has a name then, and any address.
func staticHostOf(e element) (staticHost, error) {
	h := staticHost{clientID: e.attribute("id"), name: e.attribute("name")}
	var err error
	if text := e.attribute("ip"); text != "" {
		if h.addr, err = ipam.ParseAddr(short(text)); err != nil {
			return staticHost{}, err
		}
	}
	if h.mac, err = ipam.ParseMAC(short(e.attribute("mac"))); err != nil {
		return staticHost{}, err
	}
	if h.mac == "" && h.clientID == "" && h.name == "" {
		return staticHost{}, errors.New("no MAC, client id or name says whose it is")
	}
	return h, nil
}

// subnetOf reads <ip address= prefix= netmask= family=> of a network. Where no
// length is written, libvirt takes that of the address' class, and 64 for IPv6
// (virSocketAddrGetIPPrefix).
func subnetOf(e element) (netip.Prefix, error) {
	addr, err := ipam.ParseAddr(short(e.attribute("address")))
	if err != nil {
		return netip.Prefix{}, err
	}
	if err := checkFamily(addr, e.attribute("family")); err != nil {
		return netip.Prefix{}, err
	}
	bits, err := prefixLength(addr, e.attribute("prefix"))
	if err != nil {
		return netip.Prefix{}, err
	}
	if netmask := e.attribute("netmask"); bits == 0 && netmask != "" {
		if bits, err = maskLength(netmask); err != nil || !addr.Is4() {
			return netip.Prefix{}, fmt.Errorf("address %s: netmask %q: want a form such as 255.255.255.0, for IPv4 only", addr, short(netmask))
		}
		return netip.PrefixFrom(addr, bits), nil
	}
	if bits == 0 {
		bits = classLength(addr)
	}
	if bits == 0 {
		return netip.Prefix{}, fmt.Errorf("address %s: no length is written, and its class has none", addr)
	}
	return netip.PrefixFrom(addr, bits), nil
}

// maskLength counts the ones that a netmask begins with; zeros have to follow.
func maskLength(text string) (int, error) {
	mask, err := netip.ParseAddr(text)
	if err != nil || !mask.Is4() {
		return 0, errors.New("not a netmask")
	}
	var ones strings.Builder
	for _, octet := range mask.AsSlice() {
		fmt.Fprintf(&ones, "%08b", octet)
	}
	bits, rest := strings.Index(ones.String()+"0", "0"), strings.LastIndex(ones.String(), "1")
	if rest >= bits {
		return 0, errors.New("not a netmask")
	}
	return bits, nil
}

// classLength is the length that an address has by its class, 0 for none.
func classLength(addr netip.Addr) int {
	if addr.Is6() {
		return 64
	}
	switch first := addr.As4()[0]; {
	case first < 128:
		return 8
	case first < 192:
		return 16
	case first < 224:
		return 24
	}
	return 0
}
