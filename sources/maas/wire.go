package maas

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The types of this file hold what is used of the answers, by the names of
// https://maas.io/docs/api . Unknown fields are left alone: every release adds
// some.

// whoami is GET users/?op=whoami.
type whoami struct {
	Name  string `json:"username"`
	Admin bool   `json:"is_superuser"`
}

// version is GET version/.
type version struct {
	Version string `json:"version"` // "3.6.1"
}

// before reports whether a version is older than another. One that cannot be
// read is not.
func (v version) before(major, minor int) bool {
	var have [2]int
	if n, _ := fmt.Sscanf(v.Version, "%d.%d", &have[0], &have[1]); n != 2 {
		return false
	}
	return slices.Compare(have[:], []int{major, minor}) < 0
}

// subnet is an element of GET subnets/.
type subnet struct {
	ID      int    `json:"id"`
	Name    string `json:"name"`
	CIDR    string `json:"cidr"`
	Gateway string `json:"gateway_ip"` // "" for none
	Space   string `json:"space"`      // undefinedSpace for none
	VLAN    vlan   `json:"vlan"`
	Managed *bool  `json:"managed"`
	URI     string `json:"resource_uri"`
}

// managed reports whether MAAS hands out what no range keeps out of use. Of a
// subnet that it does not manage it hands out nothing but what reserved ranges
// hold.
func (s subnet) managed() bool { return s.Managed == nil || *s.Managed }

// undefinedSpace is the name of no space (models/space.py).
const undefinedSpace = "undefined"

type vlan struct {
	ID     int             `json:"id"`
	Name   string          `json:"name"`
	Fabric string          `json:"fabric"`
	DHCP   bool            `json:"dhcp_on"`
	Relay  json.RawMessage `json:"relay_vlan"` // that which serves this one; null for none
}

// served reports whether MAAS's DHCP server answers on the VLAN.
func (v vlan) served() bool {
	relay := strings.TrimSpace(string(v.Relay))
	return v.DHCP || relay != "" && relay != "null"
}

// node is an element of GET nodes/: a device, a machine or a controller.
type node struct {
	SystemID    string `json:"system_id"`
	Hostname    string `json:"hostname"`
	FQDN        string `json:"fqdn"`
	Kind        int    `json:"node_type"`
	Status      int    `json:"status"`      // of a machine
	StatusName  string `json:"status_name"` // likewise
	Description string `json:"description"`
	Interfaces  []nic  `json:"interface_set"`
	URI         string `json:"resource_uri"`
}

// What a node is (NODE_TYPE in enum.py).
const (
	machineNode = 0
	deviceNode  = 1
	// 2, 3 and 4 are rack, region, and region and rack controllers.
)

// changeable reports whether MAAS lets a machine's interfaces be changed, which
// depends on its status (ALLOWED_STATES in api/interfaces.py): New, Ready,
// Broken, Allocated, Failed testing.
func (n node) changeable() bool {
	return n.Kind != machineNode || slices.Contains([]int{0, 4, 8, 10, 22}, n.Status)
}

// nic is a network interface of a node.
type nic struct {
	ID         int      `json:"id"`
	Name       string   `json:"name"`
	MAC        string   `json:"mac_address"`
	VLAN       *vlan    `json:"vlan"` // nil of one that is not connected
	Children   []string `json:"children"`
	Links      []link   `json:"links"`
	Discovered []link   `json:"discovered"` // addresses that it got by DHCP, without ID and mode
}

// link is a way in which an interface has an address, or is to get one.
type link struct {
	ID     int       `json:"id"`
	Mode   string    `json:"mode"`       // auto, dhcp, static, link_up
	IP     string    `json:"ip_address"` // "" for none (yet)
	Subnet reference `json:"subnet"`
}

// The modes of links that matter here.
const (
	modeStatic = "static"
	modeDHCP   = "dhcp"
)

// address is an element of GET subnets/ID/?op=ip_addresses.
type address struct {
	IP    string  `json:"ip"`
	Alloc *int    `json:"alloc_type"`
	User  string  `json:"user"` // of a reservation, or the owner of the node
	Node  *holder `json:"node_summary"`
	DNS   []struct {
		Name string `json:"name"`
	} `json:"dns_records"`
	BMCs []struct {
		Nodes []struct {
			Hostname string `json:"hostname"`
		} `json:"nodes"`
	} `json:"bmcs"`
}

// holder is a node as an address names it.
type holder struct {
	SystemID string `json:"system_id"`
	Kind     int    `json:"node_type"`
	Hostname string `json:"hostname"`
	Via      string `json:"via"` // name of the interface
}

// How an address came to be (IPADDRESS_TYPE in enum.py). AUTO is 0, chosen by
// MAAS for a machine while it is deployed.
const (
	allocSticky     = 1 // of a static link
	allocReserved   = 4 // kept out of use for a user
	allocDHCP       = 5 // a link in mode dhcp; the address stands in an allocDiscovered
	allocDiscovered = 6 // a lease, or seen on an interface at commissioning
)

// leased reports whether nobody configured the address.
func (a address) leased() bool {
	return a.Alloc != nil && (*a.Alloc == allocDHCP || *a.Alloc == allocDiscovered)
}

// compare orders the rows of one address, so that the order in which they were
// read means nothing. Only what is shown of them counts.
func (a address) compare(b address) int {
	var m, n holder
	if a.Node != nil {
		m = *a.Node
	}
	if b.Node != nil {
		n = *b.Node
	}
	return cmp.Or(cmp.Compare(*a.Alloc, *b.Alloc), strings.Compare(m.SystemID, n.SystemID), strings.Compare(m.Hostname, n.Hostname), strings.Compare(a.User, b.User))
}

// reservedIP is an element of GET reservedips/, from MAAS 3.6 on.
type reservedIP struct {
	ID      int       `json:"id"`
	IP      string    `json:"ip"`
	MAC     string    `json:"mac_address"`
	Comment string    `json:"comment"`
	Subnet  reference `json:"subnet"`
	URI     string    `json:"resource_uri"`
}

// ipRange is an element of GET ipranges/.
type ipRange struct {
	ID     int       `json:"id"`
	Type   string    `json:"type"` // dynamic or reserved
	First  string    `json:"start_ip"`
	Last   string    `json:"end_ip"`
	Subnet reference `json:"subnet"`
}

const (
	rangeDynamic  = "dynamic"
	rangeReserved = "reserved"
)

// span is an element of GET subnets/ID/?op=unreserved_ip_ranges.
type span struct {
	First string `json:"start"`
	Last  string `json:"end"`
}

// owned is an element of GET ipaddresses/.
type owned struct {
	IP    string `json:"ip"`
	Alloc *int   `json:"alloc_type"`
	Owner *struct {
		Name string `json:"username"`
	} `json:"owner"`
	Interfaces []nic `json:"interface_set"`
}

// neighbour is an element of GET discovery/.
type neighbour struct {
	IP string `json:"ip"`
}

// reference is the ID of an object that an answer holds whole, as MAAS writes
// it, or by its ID alone. 0 is none.
type reference int

// UnmarshalJSON reads both forms, and null.
func (r *reference) UnmarshalJSON(text []byte) error {
	var id *int
	if json.Unmarshal(text, &id) == nil {
		if id != nil {
			*r = reference(*id)
		}
		return nil
	}
	var whole struct {
		ID *int `json:"id"`
	}
	if err := json.Unmarshal(text, &whole); err != nil || whole.ID == nil {
		return errors.New("an object that stands for another has no id")
	}
	*r = reference(*whole.ID)
	return nil
}
