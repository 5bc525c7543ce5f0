package netbox

import (
	"encoding/json"
	"testing"

	"allocsync/ipam"
)

// Whatever a server answers to a bulk write: no panic, and every row blamed is
// within the batch.
func FuzzRefusals(f *testing.F) {
	for _, body := range []string{
		`[{}, {"address": ["Duplicate"]}]`, `{"address": ["Duplicate"]}`, `{"detail": "2 of 3", "errors": [{"index": 1, "errors": {"a": ["b"]}}, {"id": 7, "errors": {"id": ["gone"]}}]}`,
		`{"errors": [{"index": -1}, {"index": 99}, {"id": 8, "index": null}]}`, `{"error": "'data'", "exception": "KeyError"}`, `[[["x"]], null, 7]`, `{"errors": {}}`, `{"errors": null}`, `null`, `[]`, `"x"`, `<html>`,
	} {
		for _, status := range []int{400, 403, 409, 413, 500} {
			f.Add([]byte(body), status, 2, 7)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, status, n, firstID int) {
		n = max(1, min(n, 500))
		ids := make([]int, n)
		for i := range ids {
			ids[i] = firstID + i
		}
		for _, v := range []Version{{Major: 3, Minor: 7}, {Major: 4, Minor: 7}} {
			for _, named := range [][]int{nil, ids} {
				e := &Error{Status: status, Message: words(body)}
				refuse(e, answer{status: status, body: body}, v, n, named)
				rows, refused := e.Refusals()
				if refused && e.Unsure() || !refused && len(rows) > 0 {
					t.Fatalf("refused %t, unsure %t, rows %v", refused, e.Unsure(), rows)
				}
				for i, text := range rows {
					if i < 0 || i >= n || text == "" && e.Message != "" {
						t.Fatalf("row %d of %d: %q", i, n, text)
					}
				}
				if refused && n == 1 && len(rows) != 1 {
					t.Fatal("of one row it is clear which was refused")
				}
			}
		}
	})
}

// Whatever a page holds: no panic, and a row that is taken is in canonical
// form, at a place that PlaceOf makes.
func FuzzPage(f *testing.F) {
	f.Add([]byte(`{"count": 1, "next": null, "results": [{"id": 3387, "address": "198.18.64.10/24", "vrf": {"id": 4, "name": "blue"}, "status": {"value": "active", "label": "Active"}, "role": null, "dns_name": "u1", "description": "", "custom_fields": {"hwaddr": "00:16:3e:04:f0:95", "reserve_at": null, "sync_owner": "lxd-demo", "sync_type": "instance", "used_by": "/u"}, "last_updated": "2026-11-21T12:20:01.010678Z"}]}`))
	f.Add([]byte(`{"results": [{"id": 1, "prefix": "2001:db8::/64", "role": {"slug": "lan"}, "tags": [{"slug": "b"}, {"slug": "a"}], "tenant": {"slug": "t"}, "nat_inside": {"address": "10.0.0.1/8"}}]}`))
	f.Add([]byte(`{"results": [{"id": 1, "address": "::ffff:10.0.0.1/128", "nat_inside": {"address": "x"}, "custom_fields": {"gone_since": 7}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var p page
		if json.Unmarshal(body, &p) != nil {
			return
		}
		s := &Session{strange: map[string]int{}, strangeRefs: map[int]string{}}
		for i := range p.Results {
			for _, kind := range []ipam.Kind{ipam.Prefix, ipam.Address} {
				row, err := s.stored(kind, &p.Results[i], interner{})
				if err != nil {
					continue
				}
				if row.ID <= 0 || row.Place != ipam.PlaceOf(row.Place.VRF, kind, row.CIDR()) || !row.CIDR().IsValid() {
					t.Fatalf("%+v", row)
				}
				if id, err := s.vrfID(row.Place.VRF); err != nil || id != p.Results[i].VRF.ID {
					t.Fatalf("VRF %q: %d, %v", row.Place.VRF, id, err)
				}
			}
		}
	})
}
