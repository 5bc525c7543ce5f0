package maas

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
)

// FuzzWords: whatever a body holds, what is shown of it is one short line that
// shows nothing of the key.
func FuzzWords(f *testing.F) {
	for _, seed := range []string{
		`{"ip": ["The ip 10.0.0.5 is already in use by another machine."]}`, `{"__all__": ["a", "b"], "mac": "c"}`, `["x"]`, `null`, `"text"`, ``,
		"IP address 10.0.0.5 does not exist.\nIf you are sure …", "<html><body>secret</body></html>", "{\"a\": {\"b\": 1}}", "\x00\x1b[31m\u2028\xff",
		strings.Repeat("ü", 400), "Invalid access token: token",
	} {
		f.Add("text/plain", seed)
	}
	key := &credentials{"consumer", "token", "secret"}
	f.Fuzz(func(t *testing.T, kind, body string) {
		text := key.scrub(words(kind, []byte(body)))
		require.LessOrEqual(t, len(text), maxWords*len(redacted)+len("…"))
		require.True(t, utf8.ValidString(text))
		require.False(t, strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }))
		for _, part := range []string{key.consumer, key.token, key.secret} {
			require.NotContains(t, text, part)
		}
	})
}

// FuzzMark: a mark that is written is read again, whatever the name, and the
// comment is as long as MAAS takes it.
func FuzzMark(f *testing.F) {
	f.Add("printer-3", "lab", "maas")
	f.Add("", "a.b_c-d", "X")
	f.Add("[allocsync other/one]", "lab", "maas")
	f.Add(strings.Repeat("ü", 300), strings.Repeat("i", 100), strings.Repeat("s", 100))
	f.Add(" two\nlines ", "lab", "maas")
	f.Fuzz(func(t *testing.T, name, installation, source string) {
		mark := installation + "/" + source
		if !markPattern.MatchString(mark) {
			return
		}
		comment := writeMark(name, mark)
		require.LessOrEqual(t, utf8.RuneCountInString(comment), maxComment)
		gotName, gotMark := readMark(comment)
		require.Equal(t, mark, gotMark)
		require.True(t, strings.HasPrefix(line(name), gotName), "%q of %q", gotName, name)
	})
}

// FuzzReadMark: any comment is read; a mark is never made up.
func FuzzReadMark(f *testing.F) {
	for _, seed := range []string{"", "camera", "camera [allocsync lab/maas]", "[allocsync lab/maas] ", "[allocsync lab/maas] and more", "[allocsync lab]", "[allocsync /]", "[allocsync a/b/c]", "x\n[allocsync a/b]\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, comment string) {
		_, mark := readMark(comment)
		if mark != "" {
			require.Regexp(t, markPattern, mark)
			require.Contains(t, comment, "[allocsync "+mark+"]")
		}
	})
}

// FuzzURI: any text is read without a panic, and what is read is what is
// written.
func FuzzURI(f *testing.F) {
	for _, seed := range []string{
		"/MAAS/api/2.0/machines/abc123/", "/MAAS/api/2.0/reservedips/5/", "/MAAS/api/2.0/ipaddresses/?ip=fd00::5", "/MAAS/api/2.0/ipaddresses/",
		"/MAAS/api/2.0/machines//", "/MAAS/api/2.0/machines/a/b/", "/MAAS/api/2.0/machines/a", "/MAAS/api/2.0/", "", "//", "/MAAS/api/2.0/machines/a/?op=x", "/MAAS/api/2.0/reservedips/-5/",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := parseURI(ipam.UsedBy(text))
		if !ok {
			return
		}
		require.True(t, strings.HasPrefix(text, uriBase))
		require.NotEmpty(t, r.collection)
		require.NotEmpty(t, r.id)
		require.GreaterOrEqual(t, r.number(), 0)
		if r.collection != "ipaddresses" {
			require.Equal(t, text, uriBase+r.collection+"/"+r.id+"/")
		}
		if addr, err := ipam.ParseAddr(r.id); err == nil && r.collection == "ipaddresses" {
			again, ok := parseURI(addressURI(addr))
			require.True(t, ok)
			require.Equal(t, resource{"ipaddresses", addr.String()}, again)
		}
	})
}

// FuzzRegion: whatever the lists hold, it becomes facts and reservations that
// pass Check, in order, and each row of addresses is a fact or is told of.
func FuzzRegion(f *testing.F) {
	f.Add(`[{"id":1,"name":"n","cidr":"10.0.0.0/24","gateway_ip":"10.0.0.1","space":"undefined","vlan":{"id":1,"dhcp_on":true},"resource_uri":"/MAAS/api/2.0/subnets/1/"}]`,
		`[{"system_id":"abc","hostname":"h","node_type":0,"status":6,"status_name":"Deployed","interface_set":[{"id":1,"name":"eth0","mac_address":"52:54:00:00:00:01","links":[{"id":2,"mode":"static","ip_address":"10.0.0.5","subnet":{"id":1}}]}]}]`,
		`[{"ip":"10.0.0.5","alloc_type":1,"node_summary":{"system_id":"abc","node_type":0,"hostname":"h","via":"eth0"}},{"ip":"10.0.0.100","alloc_type":6},{"ip":"10.0.0.9","alloc_type":4,"user":"u"}]`,
		`[{"id":5,"ip":"10.0.0.7","mac_address":"52:54:00:00:00:02","comment":"c [allocsync a/b]","subnet":1}]`,
		`[{"id":1,"type":"dynamic","start_ip":"10.0.0.100","end_ip":"10.0.0.200","subnet":{"id":1}}]`)
	f.Add(`[{"id":1,"cidr":"fd00::/64","vlan":null}]`, `[{"node_type":1,"description":"[allocsync a/b]","system_id":"d"}]`, `[{"ip":"fd00::1","alloc_type":1,"node_summary":{"system_id":"d"}}]`, `null`, `[]`)
	f.Add(`[{"id":1,"cidr":"0.0.0.0/0","gateway_ip":"x"},{"id":1,"cidr":"10.0.0.0/8"}]`, `[]`, `[{}]`, `[{}]`, `[{}]`)
	f.Fuzz(func(t *testing.T, subnets, nodes, addresses, reserved, ranges string) {
		r := region{user: whoami{Name: "u", Admin: true}, hasIPs: true, addresses: map[int][]address{}, gone: map[int]bool{}, unread: map[int]error{}}
		var list []address
		for text, into := range map[*string]any{&subnets: &r.subnets, &nodes: &r.nodes, &addresses: &list, &reserved: &r.reserved, &ranges: &r.ranges} {
			if json.Unmarshal([]byte(*text), into) != nil {
				return
			}
		}
		for _, s := range r.subnets {
			r.addresses[s.ID] = list
		}
		b := r.book()
		for i, a := range b.facts {
			require.NoError(t, a.Check())
			require.True(t, i == 0 || b.facts[i-1].Compare(a) < 0)
		}
		for i, h := range b.held {
			require.NoError(t, h.Check())
			require.True(t, i == 0 || b.held[i-1].Compare(h) < 0)
		}
		for _, m := range b.missing {
			require.NotEmpty(t, m.Part)
			require.Error(t, m.Err)
		}
		d := newDesk(nil, b)
		for _, a := range b.facts {
			_, _ = d.Consider(ipam.Reservation{Addr: a.Prefix.Addr(), For: a.UsedBy, MAC: a.MAC, Mark: "a/b"}) // no panic
			_, _ = d.Consider(ipam.Reservation{Addr: a.Prefix.Addr()})
		}
	})
}

// FuzzSpans: what is taken of a network's free ranges is free, in order, and
// each address once.
func FuzzSpans(f *testing.F) {
	f.Add("10.0.0.5", "10.0.0.7", "10.0.0.1", "10.0.0.2")
	f.Add("fd00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "255.255.255.254", "255.255.255.255")
	f.Add("10.0.0.1", "10.0.0.9", "10.0.0.3", "10.0.0.4")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		var p pool
		for _, pair := range [][2]string{{a, b}, {c, d}} {
			if e, err := parseExtent(pair[0], pair[1]); err == nil {
				p.spans = append(p.spans, e)
			}
		}
		p.sort()
		all := append([]extent(nil), p.spans...)
		var before netip.Addr
		for range 1000 {
			addr := p.take()
			if !addr.IsValid() {
				return
			}
			require.True(t, !before.IsValid() || before.Less(addr), "%s, then %s", before, addr)
			inside := false
			for _, e := range all {
				inside = inside || e.holds(addr)
			}
			require.True(t, inside, addr)
			before = addr
		}
	})
}

func TestVersions(t *testing.T) {
	for text, before := range map[string]bool{"3.5.8": true, "2.9.2": true, "3.6.0": false, "3.6.0-rc1": false, "3.10.1": false, "4.0": false, "": false, "devel": false} {
		require.Equal(t, before, version{text}.before(3, 6), text)
	}
}

// TestHeader: as the Go clients send it, and never the same twice.
func TestHeader(t *testing.T) {
	c := &credentials{"C+1", "T/2", "S&3"}
	header := c.header(time.Unix(1700000000, 0))
	require.Regexp(t, `^OAuth realm="MAAS\+API", oauth_consumer_key="C%2B1", oauth_token="T%2F2", oauth_signature_method="PLAINTEXT", oauth_signature="%26S%263", oauth_timestamp="1700000000", oauth_nonce="[A-Z2-7]{26}", oauth_version="1\.0"$`, header)
	require.NotEqual(t, header, c.header(time.Unix(1700000000, 0)))
}
