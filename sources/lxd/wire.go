package lxd

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The types of this file hold what is used of the answers, by the names of
// https://linuxcontainers.org/incus/docs/main/api/ . Unknown fields are left
// alone: every release adds some.

// server is GET /1.0.
type server struct {
	Auth        string   `json:"auth"` // trusted or untrusted
	Extensions  []string `json:"api_extensions"`
	Environment struct {
		Server      string `json:"server"` // incus or lxd
		Name        string `json:"server_name"`
		Version     string `json:"server_version"` // "" for untrusted clients
		Clustered   bool   `json:"server_clustered"`
		Fingerprint string `json:"certificate_fingerprint"`
	} `json:"environment"`
}

// The API extensions that change what is asked.
const (
	extAllocations      = "network_allocations"
	extNetworksAll      = "networks_all_projects"
	extInstancesAll     = "instance_all_projects"
	extForwards         = "network_forward"
	extLoadBalancers    = "network_load_balancer"
	extCertificateScope = "certificate_project"
)

func (s server) has(extension string) bool { return slices.Contains(s.Extensions, extension) }

// title is the server's name for people: "Incus 6.0.4".
func (s server) title() string {
	name := map[string]string{"incus": "Incus", "lxd": "LXD"}[s.Environment.Server]
	if name == "" {
		name = "a server of kind " + fmt.Sprintf("%q", s.Environment.Server)
	}
	return name + " " + s.Environment.Version
}

// project is an element of GET /1.0/projects?recursion=1.
type project struct {
	Name   string            `json:"name"`
	Config map[string]string `json:"config"`
	UsedBy []string          `json:"used_by"`
}

// defaultProject is the project that URIs do not name, and that owns the
// networks of every project without networks of its own.
const defaultProject = "default"

// owner returns the project whose networks the instances of p use. A project
// made before the feature existed has no such key, which means false.
func (p project) owner() string {
	if p.Name == defaultProject || isTrue(p.Config["features.networks"]) {
		return p.Name
	}
	return defaultProject
}

// shared reports whether p uses the default project's networks.
func (p project) shared() bool { return p.owner() != p.Name }

// instances reports whether p holds any instance.
func (p project) instances() bool {
	return slices.ContainsFunc(p.UsedBy, func(uri string) bool { return parseURI(uri).instance != "" })
}

// isTrue reads a boolean of a configuration map, as the server does.
func isTrue(s string) bool {
	return slices.Contains([]string{"true", "1", "yes", "on"}, strings.ToLower(s))
}

// network is an element of GET /1.0/networks?recursion=1.
type network struct {
	Name    string            `json:"name"`
	Type    string            `json:"type"`
	Managed bool              `json:"managed"`
	Config  map[string]string `json:"config"`  // empty for a restricted certificate on another project's network
	Project string            `json:"project"` // "" before the extension networks_all_projects
}

// lease is an element of GET /1.0/networks/NAME/leases.
type lease struct {
	Hostname string `json:"hostname"` // "*" where dnsmasq knows none
	MAC      string `json:"hwaddr"`   // "" of a DHCPv6 lease
	Address  string `json:"address"`
	Type     string `json:"type"` // static, dynamic, gateway or uplink
}

// listener is an element of GET /1.0/networks/NAME/forwards?recursion=1 and
// of the same list of load balancers.
type listener struct {
	Address     string            `json:"listen_address"`
	Description string            `json:"description"`
	Config      map[string]string `json:"config"`
	Ports       []struct {
		Target string `json:"target_address"` // of a forward
	} `json:"ports"`
}

// instance is an element of GET /1.0/instances?recursion=1.
type instance struct {
	Name    string                       `json:"name"`
	Project string                       `json:"project"`
	Status  string                       `json:"status"` // Running, Stopped, Frozen …
	Config  map[string]string            `json:"expanded_config"`
	Devices map[string]map[string]string `json:"expanded_devices"`
}

// certificate is GET /1.0/certificates/FINGERPRINT.
type certificate struct {
	Name       string   `json:"name"`
	Restricted bool     `json:"restricted"`
	Projects   []string `json:"projects"`
}

// row is an element of GET /1.0/network-allocations.
type row struct {
	Addresses []string
	UsedBy    string
	Type      string
	MAC       string
	NAT       bool
	Network   string // "" before the extension network_allocations_network
}

// UnmarshalJSON reads the two names and the two shapes that the address has
// had: every released server writes "addresses": "10.1.2.3/32", though the
// documentation calls it "address"; LXD before its release wrote a list.
func (r *row) UnmarshalJSON(text []byte) error {
	var wire struct {
		Addresses oneOrMany `json:"addresses"`
		Address   oneOrMany `json:"address"`
		UsedBy    string    `json:"used_by"`
		Type      string    `json:"type"`
		MAC       string    `json:"hwaddr"`
		NAT       bool      `json:"nat"`
		Network   string    `json:"network"`
	}
	if err := json.Unmarshal(text, &wire); err != nil {
		return err
	}
	addresses := slices.Concat(wire.Addresses, wire.Address)
	slices.Sort(addresses)
	*r = row{
		Addresses: slices.Compact(addresses),
		UsedBy:    wire.UsedBy, Type: wire.Type, MAC: wire.MAC, NAT: wire.NAT, Network: wire.Network,
	}
	return nil
}

// oneOrMany is a list of strings, or one string in its place.
type oneOrMany []string

func (m *oneOrMany) UnmarshalJSON(text []byte) error {
	var many []string
	if json.Unmarshal(text, &many) == nil {
		*m = many
		return nil
	}
	var one string
	if err := json.Unmarshal(text, &one); err != nil {
		return errors.New("an address is neither a string nor a list of strings")
	}
	*m = oneOrMany{one}
	return nil
}
