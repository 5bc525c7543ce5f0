package libvirt

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"allocsync/ipam"
)

// domain is what is read of a domain's XML (virDomainGetXMLDesc with flags 0,
// https://libvirt.org/formatdomain.html).
type domain struct {
	uuid, name string
	nics       []nic
	instance   *instance // what Nova wrote about it; nil for a domain of others
	blurred    bool      // a NIC makes no sense: whose leases they are cannot be told
	faults     []error   // what makes no sense, each without the domain's name
}

// nic is an <interface> of a domain.
type nic struct {
	mac             ipam.MAC
	kind            string         // the type attribute: network, bridge, user, direct …
	network, bridge string         // <source>; the live XML of a NIC on a network names both
	target          string         // the device on the host: tap567a4527-b0, vnet3
	interfaceID     string         // of Open vSwitch and OVN
	addresses       []netip.Prefix // <ip>, /32 and /128 where no length is written
}

// slirp reports whether the addresses of the NIC are those of QEMU's own
// network stack, the same behind every such NIC and reachable from nowhere.
func (n nic) slirp() bool { return n.kind == "user" }

// isUUID reports whether s has the form in which libvirt and Nova write UUIDs.
func isUUID(s string) bool {
	return len(s) == 36 && strings.Trim(s, "0123456789abcdefABCDEF-") == ""
}

// parseDomain reads the XML of a domain. With an error nothing of it can be
// used; what else makes no sense is in the domain's faults, and the rest of
// the domain stands.
func parseDomain(text string) (domain, error) {
	var d domain
	err := walk(text, "domain", func(doc *document) error {
		return doc.children(func(e element) error {
			if e.space != "" {
				return nil
			}
			var err error
			switch e.local {
			case "name":
				d.name, err = doc.text()
			case "uuid":
				d.uuid, err = doc.text()
			case "metadata":
				err = d.readMetadata(doc)
			case "devices":
				err = d.readDevices(doc)
			}
			return err
		})
	})
	switch {
	case err != nil:
		return domain{}, fmt.Errorf("read domain XML: %w", err)
	case !isUUID(d.uuid):
		return domain{}, fmt.Errorf("read domain XML: uuid %q: want 36 hexadecimal digits and dashes", short(d.uuid))
	}
	if d.instance != nil {
		d.faults = append(d.faults, d.instance.faults...)
	}
	return d, nil
}

func (d *domain) readDevices(doc *document) error {
	return doc.children(func(e element) error {
		if e.local != "interface" || e.space != "" {
			return nil
		}
		if len(d.nics) == maxParts {
			return fmt.Errorf("it has more than %d interfaces", maxParts)
		}
		n := nic{kind: e.attribute("type")}
		var faults []error
		mac := ""
		err := doc.children(func(e element) error {
			if e.space != "" {
				return nil
			}
			switch e.local {
			case "mac":
				mac = e.attribute("address")
			case "source":
				n.network, n.bridge = e.attribute("network"), e.attribute("bridge")
			case "target":
				n.target = e.attribute("dev")
			case "virtualport":
				return n.readVirtualPort(doc)
			case "ip":
				address, err := interfaceAddress(e)
				if err != nil {
					faults = append(faults, err)
					return nil
				}
				n.addresses = append(n.addresses, address)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if n.slirp() {
			n.addresses, faults = nil, nil
		}
		d.addNIC(n, mac, faults)
		return nil
	})
}

func (n *nic) readVirtualPort(doc *document) error {
	return doc.children(func(e element) error {
		if e.local == "parameters" && e.space == "" {
			n.interfaceID = e.attribute("interfaceid")
		}
		return nil
	})
}

// addNIC adds a NIC with what is wrong in it. The MAC is part of the identity
// of its addresses: without one they are nobody's.
func (d *domain) addNIC(n nic, mac string, faults []error) {
	label := fmt.Sprintf("interface %d", len(d.nics)+1)
	if mac != "" {
		label += " (" + short(mac) + ")"
	}
	var err error
	if n.mac, err = ipam.ParseMAC(short(mac)); err != nil {
		faults = append(faults, err)
		d.blurred = true
	} else if mac == "" && len(n.addresses) > 0 {
		faults = append(faults, errors.New("no hardware address"))
	}
	if n.mac == "" && len(n.addresses) > 0 {
		faults = append(faults, fmt.Errorf("addresses %s have no user without it", join(n.addresses)))
		n.addresses = nil
	}
	d.nics = append(d.nics, n)
	for _, fault := range faults {
		d.faults = append(d.faults, fmt.Errorf("%s: %w", label, fault))
	}
}

// interfaceAddress reads <ip address= prefix= family=> of an interface. libvirt
// leaves the prefix out where it was not set or 0 (seen with 9.0.0).
func interfaceAddress(e element) (netip.Prefix, error) {
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
	if bits == 0 {
		bits = addr.BitLen()
	}
	return netip.PrefixFrom(addr, bits), nil
}

// checkFamily compares an address with the family that is written next to it.
func checkFamily(addr netip.Addr, family string) error {
	want := "ipv6"
	if addr.Is4() {
		want = "ipv4"
	}
	if family != "" && family != want {
		return fmt.Errorf("address %s: family %q contradicts it", addr, short(family))
	}
	return nil
}

// prefixLength reads a prefix attribute. 0 means that none is given, as it
// does to libvirt (virSocketAddrGetIPPrefix).
func prefixLength(addr netip.Addr, text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	bits, err := strconv.ParseUint(text, 10, 8)
	if err != nil || int(bits) > addr.BitLen() {
		return 0, fmt.Errorf("address %s: prefix %q: want a length of at most %d", addr, short(text), addr.BitLen())
	}
	return int(bits), nil
}

// join lists values in a message.
func join[T fmt.Stringer](values []T) string {
	var texts []string
	for _, v := range values {
		texts = append(texts, v.String())
	}
	return strings.Join(texts, ", ")
}
