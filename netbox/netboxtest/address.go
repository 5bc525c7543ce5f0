package netboxtest

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// address is a row of /api/ipam/ip-addresses/.
type address struct {
	meta
	host                           netip.Addr
	bits                           uint8
	status, role                   string
	vrf, tenant, natInside         int
	dnsName, description, comments string
	// blankRole tells a role set to nothing from one never set: the change log
	// has "" for the one and null for the other.
	blankRole bool
}

func (a *address) clone() objectRow { c := *a; return &c }

func (a *address) String() string { return addrText(a.host) + "/" + strconv.Itoa(int(a.bits)) }

func addressStatuses() []choice {
	return []choice{{"active", "Active"}, {"reserved", "Reserved"}, {"deprecated", "Deprecated"}, {"dhcp", "DHCP"}, {"slaac", "SLAAC"}}
}

func addressRoles() []choice {
	return []choice{{"loopback", "Loopback"}, {"secondary", "Secondary"}, {"anycast", "Anycast"}, {"vip", "VIP"},
		{"vrrp", "VRRP"}, {"hsrp", "HSRP"}, {"glbp", "GLBP"}, {"carp", "CARP"}}
}

// shared says that addresses of this role may exist several times.
func sharedRole(role string) bool {
	switch role {
	case "anycast", "vip", "vrrp", "hsrp", "glbp", "carp":
		return true
	}
	return false
}

func (s *Server) newAddresses() *kind {
	k := &kind{app: "ipam", model: "ipaddress", class: "IPAddress", verbose: "IP address", path: "ipam/ip-addresses", customizable: true, taggable: true}
	k.text = func(r row) string { return r.(*address).String() }
	k.blank = func() objectRow { return &address{status: "active"} }
	k.columns = s.addressColumns(k)
	k.brief = pick(k.columns, "id", "url", "display", "family", "address", "description")
	if !s.version.since(V42) {
		k.brief = drop(slices.Clone(k.brief), "description")
		k.brief[3].write = func(w *writer, r row) { w.int(family(r.(*address).host)) }
	}
	k.decode = func(d *decoder, r objectRow) { s.decodeAddress(d, r.(*address)) }
	k.check = func(r objectRow) *object { return s.checkAddress(r.(*address)) }
	k.data = func(w *writer, r objectRow) { s.addressData(w, r.(*address)) }
	k.filters = s.addressFilters(k)
	k.attribute = attributes(map[string]func(row) any{
		"address":  func(r row) any { return r.(*address).String() },
		"dns_name": func(r row) any { return r.(*address).dnsName },
		"vrf_id":   func(r row) any { return int64(r.(*address).vrf) },
		"vrf":      func(r row) any { return int64(r.(*address).vrf) },
	})
	k.onDelete = s.unlinkOutside
	k.refers = func(r row) []use {
		a := r.(*address)
		return []use{{s.vrfs, a.vrf, k}, {s.tenants, a.tenant, k}}
	}
	k.watch = func(r row, by int) {
		s.count(by, k, r, k.refers(r)...)
		s.linkOutside(r.(*address), by)
	}
	k.orders = map[string]func(a, b row) int{
		"address": func(a, b row) int {
			x, y := a.(*address), b.(*address)
			return cmp.Or(x.host.Compare(y.host), cmp.Compare(x.bits, y.bits))
		},
		"status":   func(a, b row) int { return strings.Compare(a.(*address).status, b.(*address).status) },
		"dns_name": func(a, b row) int { return strings.Compare(a.(*address).dnsName, b.(*address).dnsName) },
	}
	byHost := func(a, b row) int {
		x, y := a.(*address), b.(*address)
		return cmp.Or(x.host.Compare(y.host), cmp.Compare(x.id, y.id))
	}
	if s.version.since(V42) && !s.version.since(V47) {
		s.hosts = newOrdered(byHost)
		k.also = s.hosts
		return k.init(compareInet)
	}
	k.init(byHost)
	s.hosts = k.rows
	return k
}

// compareInet is the order in which 4.2 lists addresses: PostgreSQL's own, where
// a network comes before what lies within it, so 10.0.0.60/24 before
// 10.0.0.11/32. (3.7 and 4.7 order by the host alone.)
func compareInet(a, b row) int {
	x, y := a.(*address), b.(*address)
	if x.host.BitLen() == y.host.BitLen() {
		common := int(min(x.bits, y.bits))
		if c := netip.PrefixFrom(x.host, common).Masked().Addr().Compare(netip.PrefixFrom(y.host, common).Masked().Addr()); c != 0 {
			return c
		}
		if c := cmp.Compare(x.bits, y.bits); c != 0 {
			return c
		}
	}
	return cmp.Or(x.host.Compare(y.host), cmp.Compare(x.id, y.id))
}

func (s *Server) addressColumns(k *kind) []column {
	insideColumns := func() []column {
		columns := append(identity(s.version, k), column{name: "family", write: func(w *writer, r row) { w.int(family(r.(*address).host)) }})
		return append(columns, column{name: "address", write: func(w *writer, r row) { w.text(r.(*address).String()) }})
	}()
	columns := slices.Concat(identity(s.version, k), []column{
		{name: "family", write: func(w *writer, r row) { w.family(r.(*address).host) }},
		{name: "address", write: func(w *writer, r row) { w.text(r.(*address).String()) }},
		{name: "vrf", write: func(w *writer, r row) { w.related(s.vrfs, r.(*address).vrf, s.vrfs.nested) }},
		{name: "tenant", write: func(w *writer, r row) { w.related(s.tenants, r.(*address).tenant, s.tenants.nested) }},
		{name: "status", write: func(w *writer, r row) { w.choiceValue(addressStatuses(), r.(*address).status) }},
		{name: "role", write: func(w *writer, r row) { w.choiceValue(addressRoles(), r.(*address).role) }},
		constant("assigned_object_type", "null"),
		constant("assigned_object_id", "null"),
		constant("assigned_object", "null"),
		{name: "nat_inside", write: func(w *writer, r row) { w.related(k, r.(*address).natInside, insideColumns) }},
		{name: "nat_outside", write: func(w *writer, r row) { s.writeOutside(w, k, r.rowID(), insideColumns) }},
		{name: "dns_name", write: func(w *writer, r row) { w.text(r.(*address).dnsName) }},
		{name: "description", write: func(w *writer, r row) { w.text(r.(*address).description) }},
		constant("owner", "null"),
		{name: "comments", write: func(w *writer, r row) { w.text(r.(*address).comments) }},
		s.tagColumn(),
		s.customColumn(k),
	}, times())
	if !s.version.since(V47) {
		columns = drop(columns, "owner")
	}
	return columns
}

// writeOutside lists the addresses whose inside this one is.
func (s *Server) writeOutside(w *writer, k *kind, id int, columns []column) {
	w.b = append(w.b, '[')
	for i, outside := range s.outside[id] {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		if r, ok := k.get(outside); ok {
			w.object(columns, r)
		}
	}
	w.b = append(w.b, ']')
}

func (s *Server) addressData(w *writer, a *address) {
	w.key("vrf", true)
	w.idOrNull(a.vrf)
	w.key("role", false)
	if a.blankRole {
		w.text("")
	} else {
		w.textOrNull(a.role)
	}
	w.key("tags", false)
	w.tagNames(a.tags)
	if s.version.since(V47) {
		w.key("owner", false)
		w.null()
	}
	w.key("status", false)
	w.text(a.status)
	w.key("tenant", false)
	w.idOrNull(a.tenant)
	w.key("address", false)
	w.text(a.String())
	w.key("comments", false)
	w.text(a.comments)
	w.key("dns_name", false)
	w.text(a.dnsName)
	w.key("nat_inside", false)
	w.idOrNull(a.natInside)
	w.key("description", false)
	w.text(a.description)
	w.changeTail(s.ips, &a.meta)
	w.raw(`,"assigned_object_id":null,"assigned_object_type":null}`)
}

func (s *Server) decodeAddress(d *decoder, a *address) {
	if p, ok := d.network("address"); ok {
		a.host, a.bits = p.Addr(), uint8(p.Bits())
	}
	d.related("vrf", &a.vrf, s.vrfs)
	d.related("tenant", &a.tenant, s.tenants)
	d.choice("status", &a.status, addressStatuses(), false, false)
	d.choice("role", &a.role, addressRoles(), false, true)
	if _, given := d.body.vals["role"]; given {
		a.blankRole = a.role == ""
	}
	d.absent("assigned_object_type", "Invalid content type: %s")
	d.related("nat_inside", &a.natInside, s.ips)
	d.text("dns_name", &a.dnsName, textRule{max: 255, valid: validDNSName,
		message: "Only alphanumeric characters, asterisks, hyphens, periods, and underscores are allowed in DNS names"})
	a.dnsName = strings.ToLower(a.dnsName)
	d.text("description", &a.description, textRule{max: 200})
	d.text("comments", &a.comments, textRule{})
	if s.version.since(V47) {
		var none int
		d.related("owner", &none, nil)
	}
	d.tags(&a.meta)
	d.customFields(&a.meta)
}

// validDNSName is ^([0-9A-Za-z_-]+|\*)(\.[0-9A-Za-z_-]+)*\.?$.
func validDNSName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	for i, label := range strings.Split(s, ".") {
		if i == 0 && label == "*" {
			continue
		}
		if label == "" || !onlyWord(strings.ReplaceAll(label, "-", "")) {
			return false
		}
	}
	return true
}

func (s *Server) checkAddress(a *address) *object {
	if a.bits == 0 {
		return newObject("address", texts("Cannot create IP address with /0 mask."))
	}
	if s.enforces(a.vrf) {
		if first := s.duplicateOf(a); first != nil {
			return newObject("address", texts("Duplicate IP address found in "+s.tableName(a.vrf)+": "+first.String()))
		}
	}
	if a.status == "slaac" && family(a.host) != 6 {
		return newObject("status", texts("Only IPv6 addresses can be assigned SLAAC status"))
	}
	return nil
}

// duplicateOf gives the first row with the same host in the same VRF, unless all
// of them and this one have roles that may be shared.
func (s *Server) duplicateOf(a *address) *address {
	var first *address
	refused := !sharedRole(a.role)
	for r := range s.hosts.seek(func(r row) int { return r.(*address).host.Compare(a.host) }) {
		other := r.(*address)
		if other.host != a.host {
			break
		}
		if other.id == a.id || other.vrf != a.vrf {
			continue
		}
		if first == nil {
			first = other
		}
		refused = refused || !sharedRole(other.role)
	}
	if refused {
		return first
	}
	return nil
}

// enforces says whether a VRF (0: the global table) takes no duplicates.
func (s *Server) enforces(id int) bool {
	if id == 0 {
		return s.enforceGlobal()
	}
	r, ok := s.vrfs.get(id)
	return ok && r.(*vrf).enforce
}

func (s *Server) tableName(id int) string {
	r, ok := s.vrfs.get(id)
	if !ok {
		return "global table"
	}
	return "VRF " + s.vrfs.text(r)
}

// linkOutside keeps the list of addresses by their inside.
func (s *Server) linkOutside(a *address, by int) {
	if a.natInside == 0 {
		return
	}
	list := slices.DeleteFunc(slices.Clone(s.outside[a.natInside]), func(id int) bool { return id == a.id })
	if by > 0 {
		list = append(list, a.id)
		slices.Sort(list)
	}
	if len(list) == 0 {
		delete(s.outside, a.natInside)
		return
	}
	s.outside[a.natInside] = list
}

// unlinkOutside clears nat_inside of the addresses that pointed to r. Since 4.7
// they are saved for it and appear in the change log; before, the database did
// it alone.
func (s *Server) unlinkOutside(t *tx, r row) {
	for _, id := range slices.Clone(s.outside[r.rowID()]) {
		old, ok := s.ips.get(id)
		if !ok {
			continue
		}
		now := old.(*address).clone()
		now.(*address).natInside = 0
		if s.version.since(V47) {
			t.save(s.ips, old, now)
			continue
		}
		s.ips.drop(old)
		s.ips.put(now)
		t.undo = append(t.undo, func() { s.ips.drop(now); s.ips.put(old) })
	}
}
