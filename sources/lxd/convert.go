package lxd

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"allocsync/ipam"
)

// The types of allocation that mean something here. Others are passed on as
// the server writes them.
const (
	typeNetwork      = "network"
	typeInstance     = "instance"
	typeForward      = "network-forward"
	typeLoadBalancer = "network-load-balancer"
)

// allocations turns a row of the server's own list into facts: two for a
// network, whose address is that of its gateway with the network's length
// (10.1.2.1/24), and one for everything else.
func (r row) allocations() ([]ipam.Allocation, error) {
	mac, err := ipam.ParseMAC(r.MAC)
	if err != nil {
		return nil, err
	}
	if len(r.Addresses) == 0 {
		return nil, errors.New("holds no address")
	}
	user := parseURI(r.UsedBy)
	fact := ipam.Allocation{
		UsedBy:  ipam.UsedBy(r.UsedBy),
		Kind:    ipam.Address,
		Type:    r.Type,
		Network: r.Network,
		Project: user.project,
		Name:    user.instance + user.network, // one of them is empty
		MAC:     mac,
		NAT:     r.NAT,
	}
	if fact.Network == "" {
		fact.Network = user.network
	}
	var facts []ipam.Allocation
	for _, text := range r.Addresses {
		if fact.Prefix, err = ipam.ParsePrefix(text); err != nil {
			return nil, err
		}
		facts = append(facts, fact)
		if r.Type == typeNetwork {
			whole := fact
			whole.Kind, whole.Prefix = ipam.Prefix, fact.Prefix.Masked()
			facts = append(facts, whole)
		}
	}
	for _, f := range facts {
		if err := f.Check(); err != nil {
			return nil, err
		}
	}
	return facts, nil
}

// families lists the prefixes of a network's and a NIC's configuration keys.
func families() []string { return []string{"ipv4", "ipv6"} }

// familyOf returns the prefix of the configuration keys for an address.
func familyOf(addr netip.Addr) string {
	if addr.Is4() {
		return "ipv4"
	}
	return "ipv6"
}

// rows writes the rows that the server's own list has for a network itself.
// It takes a network without an address of the family ("none", or left out)
// as the server does: there is no row.
func (n network) rows() []row {
	var rows []row
	for _, family := range families() {
		address := n.Config[family+".address"]
		if !strings.Contains(address, "/") {
			continue
		}
		rows = append(rows, row{
			Addresses: []string{address},
			UsedBy:    string(writeURI(n.Project, "networks", n.Name)),
			Type:      typeNetwork,
			NAT:       isTrue(n.Config[family+".nat"]),
			Network:   n.Name,
		})
	}
	return rows
}

// listenerRow writes the row that the server's own list has for a forward or a
// load balancer. Neither is ever behind the network's NAT: they are ingress.
func (n network) listenerRow(l listener, kind string) row {
	collection := "forwards"
	if kind == typeLoadBalancer {
		collection = "load-balancers"
	}
	return row{
		Addresses: []string{l.Address},
		UsedBy:    string(writeURI(n.Project, "networks", n.Name, collection, l.Address)),
		Type:      kind,
		Network:   n.Name,
	}
}

// handedOut reports whether a lease is of an instance. The others are the
// network's own addresses: its gateway, and the routers of OVN networks on it.
func (l lease) handedOut() bool { return l.Type == "static" || l.Type == "dynamic" }

// allocation turns a lease into the fact that the server's own list has for it.
func (l lease) allocation(n network, project, name string, nat bool) (ipam.Allocation, error) {
	return instanceFact{name: name, project: project, network: n.Name, address: l.Address, mac: l.MAC, nat: nat, dynamic: l.Type == "dynamic"}.allocation()
}

// instanceFact is an address of an instance as text.
type instanceFact struct {
	name, project, network string
	address, mac           string
	nat, dynamic           bool
}

func (f instanceFact) allocation() (ipam.Allocation, error) {
	mac, err := ipam.ParseMAC(f.mac)
	if err != nil {
		return ipam.Allocation{}, err
	}
	addr, err := ipam.ParseAddr(f.address)
	if err != nil {
		return ipam.Allocation{}, err
	}
	a := ipam.Allocation{
		UsedBy:  writeURI(f.project, "instances", f.name),
		Kind:    ipam.Address,
		Prefix:  ipam.HostPrefix(addr),
		Type:    typeInstance,
		Network: f.network,
		Project: f.project,
		Name:    f.name,
		MAC:     mac,
		NAT:     f.nat,
		Dynamic: f.dynamic,
	}
	return a, a.Check()
}

// nic is a network interface of an instance.
type nic struct {
	device    string            // the device's name
	config    map[string]string // the device's keys, profiles included
	network   string            // the managed network, "" where none is named
	parent    string            // the bridge of the host, which may be a managed network
	kind      string            // nictype: "" (given by the network), bridged, routed …
	mac       string            // "" until the server has made one up
	addresses []string
}

// nics lists the interfaces of an instance, profiles included, in no order.
func (i instance) nics() []nic {
	var nics []nic
	for name, device := range i.Devices {
		if device["type"] != "nic" {
			continue
		}
		n := nic{device: name, config: device, network: device["network"], kind: device["nictype"], mac: strings.ToLower(device["hwaddr"])}
		if n.kind == "bridged" {
			n.parent = device["parent"]
		}
		if n.mac == "" {
			n.mac = i.Config["volatile."+name+".hwaddr"]
		}
		for _, family := range families() {
			n.addresses = append(n.addresses, staticAddresses(device[family+".address"])...)
		}
		nics = append(nics, n)
	}
	return nics
}

// staticAddresses splits the addresses of a NIC: one on a managed network, a
// list with commas on a routed NIC, "none" (Incus) and "auto" for none.
func staticAddresses(value string) []string {
	var addresses []string
	for text := range strings.SplitSeq(value, ",") {
		text = strings.TrimSpace(text)
		if text != "" && text != "none" && text != "auto" {
			addresses = append(addresses, text)
		}
	}
	return addresses
}

// describe names a row in a message.
func (r row) describe() string {
	return fmt.Sprintf("allocation %s %s of %q", r.Type, strings.Join(r.Addresses, " "), r.UsedBy)
}
