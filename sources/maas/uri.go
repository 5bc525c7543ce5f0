package maas

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"allocsync/ipam"
)

// uriBase is what every URI that MAAS writes begins with, wherever a proxy may
// have put it.
const uriBase = "/MAAS/api/2.0/"

// subnetURI, nodeURI and reservedURI return what MAAS wrote, or what it would
// have written where it wrote nothing.
func (s subnet) subnetURI() ipam.UsedBy { return uriOr(s.URI, "subnets/%d/", s.ID) }

func (r reservedIP) reservedURI() ipam.UsedBy { return uriOr(r.URI, "reservedips/%d/", r.ID) }

func (n node) nodeURI() ipam.UsedBy {
	collection := "nodes"
	switch n.Kind {
	case machineNode:
		collection = "machines"
	case deviceNode:
		collection = "devices"
	}
	return uriOr(n.URI, "%s/%s/", collection, n.SystemID)
}

func uriOr(uri, format string, args ...any) ipam.UsedBy {
	if uri == "" {
		uri = uriBase + fmt.Sprintf(format, args...)
	}
	return ipam.UsedBy(uri)
}

// addressURI is the user of an address that is an object of its own at MAAS: a
// reservation, a lease. MAAS writes one resource_uri for all of them, that of
// the list; this is the request that it answers with the one.
func addressURI(addr netip.Addr) ipam.UsedBy {
	return ipam.UsedBy(uriBase + "ipaddresses/?ip=" + addr.String())
}

// resource is what a URI names.
type resource struct {
	collection string // "machines"
	id         string // "abc123"; the address of one in ipaddresses
}

// parseURI reads a URI as MAAS writes it. ok is false for anything else.
func parseURI(u ipam.UsedBy) (r resource, ok bool) {
	rest, ours := strings.CutPrefix(u.Path(), uriBase)
	collection, id, whole := strings.Cut(rest, "/")
	if !ours || !whole || collection == "" {
		return resource{}, false
	}
	if collection == "ipaddresses" {
		ip := u.Query("ip")
		return resource{collection, ip}, id == "" && ip != ""
	}
	id, whole = strings.CutSuffix(id, "/")
	if !whole || id == "" || strings.Contains(id, "/") || strings.Contains(string(u), "?") {
		return resource{}, false
	}
	return resource{collection, id}, true
}

// number is the ID of a resource that is counted; 0 where it is not.
func (r resource) number() int {
	n, err := strconv.Atoi(r.id)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
