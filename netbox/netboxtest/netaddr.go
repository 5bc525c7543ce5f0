package netboxtest

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// family is 4 or 6; an IPv4-mapped address is IPv6 to NetBox.
func family(a netip.Addr) int {
	if a.Is4() {
		return 4
	}
	return 6
}

func (w *writer) family(a netip.Addr) {
	if a.Is4() {
		w.raw(`{"value":4,"label":"IPv4"}`)
		return
	}
	w.raw(`{"value":6,"label":"IPv6"}`)
}

// addrText prints an address as netaddr does, which is Go's form but for the old
// IPv4-compatible addresses: those end in a dotted quad.
func addrText(a netip.Addr) string {
	if a.Is4() || a.Is4In6() {
		return a.String()
	}
	b := a.As16()
	if [12]byte(b[:12]) == [12]byte{} && (b[12] != 0 || b[13] != 0) {
		return fmt.Sprintf("::%d.%d.%d.%d", b[12], b[13], b[14], b[15])
	}
	return a.String()
}

// parseAddr reads a plain address, no zone.
func parseAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.Zone() == ""
}

// parseNetwork reads what netaddr.IPNetwork reads: an address, with a prefix
// length, a netmask or a host mask. Without one it is a single host.
func parseNetwork(s string) (netip.Prefix, bool) {
	host, mask, masked := strings.Cut(s, "/")
	a, ok := parseAddr(host)
	if !ok {
		return netip.Prefix{}, false
	}
	bits := a.BitLen()
	if masked {
		n, ok := parsePyInt(mask)
		if !ok {
			n, ok = maskBits(a, mask)
		}
		if !ok || n < 0 || n > bits {
			return netip.Prefix{}, false
		}
		bits = n
	}
	return netip.PrefixFrom(a, bits), true
}

// maskBits turns 255.255.255.0 or 0.0.0.255 into 24.
func maskBits(of netip.Addr, mask string) (int, bool) {
	m, ok := parseAddr(mask)
	if !ok || m.BitLen() != of.BitLen() {
		return 0, false
	}
	var text strings.Builder
	for _, b := range m.AsSlice() {
		fmt.Fprintf(&text, "%08b", b)
	}
	bits := text.String()
	if ones := strings.TrimRight(bits, "0"); strings.Trim(ones, "1") == "" {
		return len(ones), true
	}
	if zeros := strings.TrimRight(bits, "1"); strings.Trim(zeros, "0") == "" {
		return len(zeros), true
	}
	return 0, false
}

// network reads the address or prefix of a write.
func (d *decoder) network(field string) (netip.Prefix, bool) {
	v, ok := d.given(field, true, false)
	if !ok {
		return netip.Prefix{}, false
	}
	text, isText := v.(string)
	switch {
	case isText && strings.TrimSpace(text) == "":
		d.fail(field, notBlank)
		return netip.Prefix{}, false
	case !isText:
		d.fail(field, "unexpected type <class '"+typeName(v)+"'> for addr arg")
		return netip.Prefix{}, false
	}
	p, ok := parseNetwork(text)
	if !ok {
		what := "address"
		if field == "prefix" {
			what = "prefix"
		}
		d.fail(field, "Invalid IP "+what+" format: "+text)
	}
	return p, ok
}

// formatCrashes says that a write makes NetBox fail with a KeyError: before 4.7
// the message about a malformed address could not be put together.
func (s *Server) formatCrashes(k *kind, d *decoder) bool {
	if s.version.since(V47) || k != s.ips && k != s.prefixes {
		return false
	}
	field := "address"
	if k == s.prefixes {
		field = "prefix"
	}
	text, ok := d.body.vals[field].(string)
	if !ok || strings.TrimSpace(text) == "" {
		return false
	}
	_, ok = parseNetwork(text)
	return !ok
}

// absent refuses a value for what this server does not hold; null is fine.
func (d *decoder) absent(field, format string) {
	if v, ok := d.body.vals[field]; ok && v != nil {
		d.fail(field, fmt.Sprintf(format, pyStr(v)))
	}
}

func (w *writer) idOrNull(id int) {
	if id == 0 {
		w.null()
		return
	}
	w.int(id)
}

func (w *writer) choiceValue(choices []choice, value string) {
	c, _ := choiceOf(choices, value)
	w.choice(c)
}

// changeTail writes what the change log data of all customizable rows end with.
// 3.7 kept the time of creation in it, to the millisecond.
func (w *writer) changeTail(k *kind, m *meta) {
	w.raw(`,"custom_fields":`)
	first := true
	for _, f := range k.fields {
		if json := m.stored(f.id); json != "" {
			w.key(f.name, first)
			w.raw(json)
			first = false
		}
	}
	if first {
		w.raw("{")
	}
	w.raw("}")
	if !w.s.version.since(V42) {
		w.raw(`,"created":"`)
		w.b = appendMillis(w.b, m.created)
		w.raw(`Z"`)
	}
}

func appendMillis(b []byte, micros int64) []byte {
	b = appendTime(b, micros-micros%1e6)
	b = append(b, '.')
	ms := strconv.Itoa(int(micros % 1e6 / 1e3))
	return append(append(b, "000"[len(ms):]...), ms...)
}
