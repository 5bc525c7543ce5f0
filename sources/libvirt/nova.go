package libvirt

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"allocsync/ipam"
)

// The namespaces of Nova's metadata. Ports came with 1.1 (Wallaby); the
// specification that introduced them shows them in 1.0, so both are read
// (https://specs.openstack.org/openstack/nova-specs/specs/wallaby/implemented/libvirt-driver-ip-metadata.html).
const (
	novaSpaces = "http://openstack.org/xmlns/libvirt/nova/"
	nova10     = novaSpaces + "1.0"
	nova11     = novaSpaces + "1.1"
)

func isNova(space string) bool { return space == nova10 || space == nova11 }

// The types of address that mean something here. A floating one is on the
// router, in front of a fixed one.
const (
	typeFixed    = "fixed"
	typeFloating = "floating"
)

// instance is what Nova wrote about the server that a domain is.
type instance struct {
	space              string
	name               string // the server's display name
	project, projectID string
	listed             bool // ports are listed, perhaps none; Nova before Wallaby lists none
	ports              []port
	faults             []error

	byUUID map[string]int   // index of ports, by UUID in lower case
	byName map[string][]int // likewise, by as much of the UUID as a device's name holds
}

// maxParts is how many ports, or NICs, one domain may have, and maxAddresses
// how many addresses a port. What QEMU can run has some dozens.
const (
	maxParts     = 1024
	maxAddresses = 1024
)

// port is a Neutron port of a server.
type port struct {
	uuid      string
	addresses []portAddress
	faulty    bool // it has others, which make no sense
}

// portAddress is an address of a port. Its type is a word of Nova's.
type portAddress struct {
	kind string
	addr netip.Addr
}

func (a portAddress) String() string { return a.addr.String() }

// readMetadata looks for Nova's element. Which prefix it has depends on the key
// under which it was set (libvirt 9.0.0 writes <nova:instance xmlns:nova=U
// xmlns:instance=U>), so only the namespace tells. libvirt keeps one element
// of each namespace.
func (d *domain) readMetadata(doc *document) error {
	return doc.children(func(e element) error {
		if e.local != "instance" || !strings.HasPrefix(e.space, novaSpaces) {
			return nil
		}
		if !isNova(e.space) {
			d.faults = append(d.faults, unknownVersion(e.space))
			return nil
		}
		i := &instance{space: e.space}
		if err := i.read(doc); err != nil {
			return err
		}
		if d.instance != nil && d.instance.space == i.space {
			d.faults = append(d.faults, errors.New("metadata of Nova stands twice"))
		}
		if i.over(d.instance) {
			d.instance = i
		}
		return nil
	})
}

// unknownVersion is the fault of metadata that may list addresses in a way
// that is not known.
func unknownVersion(space string) error {
	return fmt.Errorf("metadata of a Nova version that is not known: namespace %q", short(space))
}

// over reports whether i is read in place of other: one that lists ports
// before one that does not, then the newer one.
func (i *instance) over(other *instance) bool {
	switch {
	case other == nil:
		return true
	case i.listed != other.listed:
		return i.listed
	}
	return i.space > other.space
}

func (i *instance) read(doc *document) error {
	return doc.children(func(e element) error {
		if !isNova(e.space) {
			if e.local == "ports" && strings.HasPrefix(e.space, novaSpaces) {
				i.faults = append(i.faults, unknownVersion(e.space))
			}
			return nil
		}
		var err error
		switch e.local {
		case "name":
			i.name, err = doc.text()
		case "owner":
			err = doc.children(func(e element) error {
				if e.local != "project" || !isNova(e.space) {
					return nil
				}
				var err error
				i.projectID = e.attribute("uuid")
				i.project, err = doc.text()
				return err
			})
		case "ports":
			i.listed = true
			err = i.readPorts(doc)
		}
		return err
	})
}

func (i *instance) readPorts(doc *document) error {
	return doc.children(func(e element) error {
		if e.local != "port" || !isNova(e.space) {
			return nil
		}
		p := port{uuid: e.attribute("uuid")}
		label := "Nova port " + p.uuid
		if !isUUID(p.uuid) {
			label = fmt.Sprintf("Nova port %q", short(p.uuid))
		}
		err := doc.children(func(e element) error {
			if e.local != "ip" || !isNova(e.space) {
				return nil
			}
			address, err := readPortAddress(e)
			switch {
			case len(p.addresses) == maxAddresses:
				return fmt.Errorf("%s: it has more than %d addresses", label, maxAddresses)
			case err != nil:
				i.faults = append(i.faults, fmt.Errorf("%s: %w", label, err))
				p.faulty = true
				return nil
			}
			p.addresses = append(p.addresses, address)
			return nil
		})
		if err != nil {
			return err
		}
		if !isUUID(p.uuid) {
			i.faults = append(i.faults, p.nameless(label))
			return nil
		}
		return i.addPort(p)
	})
}

// nameless is the fault of a port whose identity cannot be told.
func (p port) nameless(label string) error {
	holds := "no address"
	if len(p.addresses) > 0 {
		slices.SortFunc(p.addresses, func(a, b portAddress) int { return a.addr.Compare(b.addr) })
		holds = join(p.addresses)
	}
	return fmt.Errorf("%s, which holds %s: want a uuid of 36 hexadecimal digits and dashes", label, holds)
}

// addPort adds a port, or its addresses to those that are known of it: how
// many fixed ones a port has decides what is behind its floating ones.
func (i *instance) addPort(p port) error {
	if i.byUUID == nil {
		i.byUUID, i.byName = map[string]int{}, map[string][]int{}
	}
	for n := range i.ports {
		if i.ports[n].uuid == p.uuid {
			i.ports[n].addresses = append(i.ports[n].addresses, p.addresses...)
			i.ports[n].faulty = i.ports[n].faulty || p.faulty
			return nil
		}
	}
	if len(i.ports) == maxParts {
		return fmt.Errorf("it has more than %d ports", maxParts)
	}
	id, name := strings.ToLower(p.uuid), p.uuid[:deviceDigits]
	if _, twice := i.byUUID[id]; !twice {
		i.byUUID[id] = len(i.ports)
	}
	i.byName[name] = append(i.byName[name], len(i.ports))
	i.ports = append(i.ports, p)
	return nil
}

// readPortAddress reads <ip type= address= ipVersion=>.
func readPortAddress(e element) (portAddress, error) {
	addr, err := ipam.ParseAddr(short(e.attribute("address")))
	if err != nil {
		return portAddress{}, err
	}
	version := "6"
	if addr.Is4() {
		version = "4"
	}
	if stated := e.attribute("ipVersion"); stated != "" && stated != version {
		return portAddress{}, fmt.Errorf("address %s: ipVersion %q contradicts it", addr, short(stated))
	}
	kind := e.attribute("type")
	if strings.TrimSpace(kind) == "" {
		return portAddress{}, fmt.Errorf("address %s: no type, want %s or %s", addr, typeFixed, typeFloating)
	}
	return portAddress{kind, addr}, nil
}

// projectName returns the project as facts name it. Nova leaves out neither,
// but other tools that write its metadata do.
func (i *instance) projectName(byID bool) string {
	if byID {
		return cmp.Or(i.projectID, i.project)
	}
	return cmp.Or(i.project, i.projectID)
}

// portOf finds the port that a NIC is the other end of. Open vSwitch and OVN
// know it by its UUID; any other plug names the device on the host after it,
// as long as a device's name may be.
func (i *instance) portOf(n nic) (port, bool) {
	if i == nil {
		return port{}, false
	}
	if at, ok := i.byUUID[strings.ToLower(n.interfaceID)]; ok {
		return i.ports[at], true
	}
	if alike := i.byName[deviceName(n.target)]; len(alike) == 1 {
		return i.ports[alike[0]], true
	}
	return port{}, false
}

// deviceDigits is how much of a port's UUID the name of its device holds.
const deviceDigits = 11

// deviceName returns the part of a port's UUID that a device on the host is
// named after: behind tap, or vhu for vhost-user (neutron_lib.constants,
// *_DEVICE_PREFIX).
func deviceName(device string) string {
	if len(device) == 3+deviceDigits && (strings.HasPrefix(device, "tap") || strings.HasPrefix(device, "vhu")) {
		return device[3:]
	}
	return ""
}

// nicOf finds the NIC that a port is the other end of, as portOf does.
func (d domain) nicOf(p port) (nic, bool) {
	for _, n := range d.nics {
		if strings.EqualFold(n.interfaceID, p.uuid) {
			return n, true
		}
	}
	for _, n := range d.nics {
		if found, ok := d.instance.portOf(n); ok && found.uuid == p.uuid {
			return n, true
		}
	}
	return nic{}, false
}

// states reports whether the metadata lists an address for the port, and as
// what.
func (p port) states(addr netip.Addr) (kind string, ok bool) {
	for _, a := range p.addresses {
		if a.addr == addr {
			return a.kind, true
		}
	}
	return "", false
}

// inside returns the fixed address behind a floating one: the only one of its
// family, or none. Neutron knows which it is, but Nova does not write it.
func (p port) inside(floating netip.Addr) netip.Addr {
	var only netip.Addr
	if p.faulty { // what cannot be read may be another one
		return only
	}
	for _, a := range p.addresses {
		if a.kind != typeFixed || a.addr.Is4() != floating.Is4() || a.addr == only {
			continue
		}
		if only.IsValid() {
			return netip.Addr{}
		}
		only = a.addr
	}
	return only
}
