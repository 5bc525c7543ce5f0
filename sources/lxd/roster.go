package lxd

import (
	"slices"
)

// networkID names a network: names are unique within the project that owns it.
type networkID struct{ owner, name string }

// instanceID names an instance.
type instanceID struct{ project, name string }

// roster is what the server says about its instances, made for look-ups.
// The nil roster knows none.
type roster struct {
	list  []instance
	nics  map[instanceID][]nic
	byMAC map[string][]instanceID
}

func newRoster(list []instance) *roster {
	r := &roster{list: list, nics: map[instanceID][]nic{}, byMAC: map[string][]instanceID{}}
	for _, i := range list {
		id := instanceID{i.Project, i.Name}
		r.nics[id] = i.nics()
		for _, n := range r.nics[id] {
			if n.mac != "" {
				r.byMAC[n.mac] = append(r.byMAC[n.mac], id)
			}
		}
	}
	return r
}

// on reports whether an instance of that name has a NIC on the network.
func (r *roster) on(id instanceID, network string) bool {
	return r != nil && slices.ContainsFunc(r.nics[id], func(n nic) bool { return n.network == network || n.parent == network })
}

// named returns the instance of a project that has the MAC, "" where there is
// none or more than one.
func (r *roster) named(project, mac string) string {
	if r == nil || mac == "" {
		return ""
	}
	name := ""
	for _, id := range r.byMAC[mac] {
		if id.project != project || id.name == name {
			continue
		}
		if name != "" {
			return ""
		}
		name = id.name
	}
	return name
}
