package netboxtest

import "strings"

const (
	addresses = "/api/ipam/ip-addresses/"
	networks  = "/api/ipam/prefixes/"
)

// realSteps are what TestReal asks, in order.
func realSteps() []step {
	var s script
	for _, part := range []func(*script){
		(*script).placeSteps, (*script).prefixSteps, (*script).addressSteps, (*script).filterSteps, (*script).pageSteps,
		(*script).createErrorSteps, (*script).updateSteps, (*script).bulkSteps, (*script).formSteps, (*script).customFieldSteps, (*script).permissionSteps,
	} {
		part(&s)
	}
	return s.steps
}

// script collects steps.
type script struct{ steps []step }

func (s *script) get(name, path string) {
	s.steps = append(s.steps, step{name: name, method: "GET", path: path})
}

func (s *script) write(method, name, path, body string, save ...string) {
	s.steps = append(s.steps, step{name: name, method: method, path: path, body: body, save: save})
}

func (s *script) post(name, path, body string, save ...string) {
	s.write("POST", name, path, body, save...)
}

func (s *script) patch(name, path, body string) { s.write("PATCH", name, path, body) }

func (s *script) raw(name, method, path, body string) {
	s.steps = append(s.steps, step{name: name, method: method, path: path, body: body, raw: true})
}

// placeSteps: VRFs, tenants, roles and tags.
func (s *script) placeSteps() {
	s.post("vrf", "/api/ipam/vrfs/", `{"name":"nbt-real blue","rd":"nbt:1","enforce_unique":true,"description":"d","comments":"c"}`, "vrf")
	s.post("vrf rd taken", "/api/ipam/vrfs/", `{"name":"nbt-real red","rd":"nbt:1"}`)
	s.post("vrf errors", "/api/ipam/vrfs/", `{"name":"","rd":"`+strings.Repeat("x", 22)+`","enforce_unique":"maybe","description":null}`)
	s.post("vrf relaxed", "/api/ipam/vrfs/", `{"name":"nbt-real grey","enforce_unique":false}`, "grey")
	s.post("tenant", "/api/tenancy/tenants/", `{"name":"nbt-real 2","slug":"nbt-real-2"}`, "tenant2")
	s.post("tenants", "/api/tenancy/tenants/", `[{"name":"nbt-real 10","slug":"nbt-real-10"},{"name":"NBT-real 1","slug":"nbt-real-1","description":"x"}]`, "tenant10", "tenant1")
	s.post("tenant twice", "/api/tenancy/tenants/", `{"name":"nbt-real 2","slug":"nbt-real-2"}`)
	s.post("tenant bad slug", "/api/tenancy/tenants/", `{"name":"nbt-real 3","slug":"no slug"}`)
	s.get("tenants in order", "/api/tenancy/tenants/?name__isw=nbt-real")
	s.get("tenant by name", "/api/tenancy/tenants/?name=nbt-real+2")
	s.get("tenant by slugs", "/api/tenancy/tenants/?slug=nbt-real-2&slug=nbt-real-10&slug=none&brief=true")
	s.get("tenant by other case", "/api/tenancy/tenants/?name=NBT-REAL+2&fields=id")
	s.post("role", "/api/ipam/roles/", `{"name":"nbt-real r","slug":"nbt-real-r"}`, "role")
	s.post("role twice", "/api/ipam/roles/", `{"name":"nbt-real r","slug":"nbt-real-r"}`)
	s.get("roles", "/api/ipam/roles/?slug=nbt-real-r")
	s.post("tags", "/api/extras/tags/", `[{"name":"nbt-real b","slug":"nbt-real-b"},{"name":"nbt-real a","slug":"nbt-real-a"}]`, "tagb", "taga")
	s.post("tag twice", "/api/extras/tags/", `{"name":"nbt-real a","slug":"nbt-real-a"}`)
	s.get("tags", "/api/extras/tags/?name__isw=nbt-real")
}

// prefixSteps: prefixes, their filters and their errors.
func (s *script) prefixSteps() {
	s.post("prefixes", networks, `[{"prefix":"198.18.0.0/16","vrf":{vrf},"status":"container","role":{role},"tenant":{"slug":"nbt-real-2"}},
		{"prefix":"198.18.1.0/24","vrf":{vrf},"tags":[{"name":"nbt-real b"},{"slug":"nbt-real-a"}],"custom_fields":{"sync_owner":"dc1/lxd","used_by":"/1.0/networks/x"}},
		{"prefix":"198.18.1.128/25","vrf":{vrf},"is_pool":"yes","mark_utilized":1},
		{"prefix":"2001:DB8:0:0::/64","vrf":{vrf}},{"prefix":"198.18.0.0/15","vrf":{vrf}}]`, "p16", "p24", "p25", "p64", "p15")
	s.get("prefixes in order", networks+"?vrf_id={vrf}")
	s.get("prefixes brief", networks+"?vrf_id={vrf}&brief=1")
	s.get("prefixes by role", networks+"?role=nbt-real-r&fields=id,prefix,role")
	s.get("prefixes within", networks+"?vrf_id={vrf}&within=198.18.0.0/16&fields=id,prefix,children,_depth")
	s.get("prefixes within_include", networks+"?vrf_id={vrf}&within_include=198.18.0.0/16&fields=prefix")
	s.get("prefixes contains address", networks+"?vrf_id={vrf}&contains=198.18.1.200&fields=prefix")
	s.get("prefixes contains prefix", networks+"?vrf_id={vrf}&contains=198.18.1.128/25&fields=prefix")
	s.get("prefixes contains nonsense", networks+"?vrf_id={vrf}&contains=x&fields=prefix")
	s.get("prefix equal", networks+"?vrf_id={vrf}&prefix=198.18.1.0/24&prefix=2001:db8::/64&fields=prefix")
	s.get("prefix nonsense", networks+"?vrf_id={vrf}&prefix=nonsense&fields=prefix")
	s.get("prefix with host bits", networks+"?vrf_id={vrf}&prefix=198.18.1.7/24&fields=prefix")
	s.get("prefix mask_length", networks+"?vrf_id={vrf}&mask_length=24&mask_length=25&fields=prefix")
	s.get("prefix mask_length gte", networks+"?vrf_id={vrf}&mask_length__gte=25&fields=prefix")
	s.get("prefix depth", networks+"?vrf_id={vrf}&depth=2&fields=prefix")
	s.get("prefix status", networks+"?vrf_id={vrf}&status=container&fields=prefix")
	s.get("prefix bad status", networks+"?vrf_id={vrf}&status=weird&fields=prefix")
	s.get("prefix family", networks+"?vrf_id={vrf}&family=6&fields=prefix")
	s.get("prefix bad family", networks+"?vrf_id={vrf}&family=x&fields=prefix")
	s.get("prefix by tag", networks+"?vrf_id={vrf}&tag=nbt-real-a&tag=nbt-real-b&fields=prefix")
	s.post("prefix bad values", networks, `[{"prefix":"x"},{"prefix":5},{"prefix":true},{"prefix":null},{},{"prefix":""},{"prefix":"0.0.0.0/0","vrf":{vrf}},{"prefix":"198.18.9.0/24","vrf":"abc"},
		{"prefix":"198.18.9.0/24","vrf":[1]},{"prefix":"198.18.9.0/24","vrf":{"name":"none such"}},{"prefix":"198.18.9.0/24","vrf":{"rd":"nbt:1"},"status":"dhcp"},
		{"prefix":"198.18.9.0/24","vrf":{vrf},"is_pool":"perhaps"},{"prefix":"198.18.9.0/24","vrf":{vrf},"vlan":77777777},{"prefix":"198.18.9.0/24","vrf":{vrf},"scope_type":"dcim.nothing","scope_id":5},
		{"prefix":"198.18.1.0","vrf":{vrf}},{"prefix":"198.18.1.0/255.255.255.0","vrf":{vrf}},{"prefix":"198.18.1.0/33","vrf":{vrf}}]`)
	s.patch("prefix hostbits", networks+"{p24}/", `{"prefix":"198.18.1.1/24"}`)
	s.patch("prefix move", networks+"{p24}/", `{"prefix":"198.18.2.0/24","tags":[]}`)
	s.patch("prefix move back", networks+"{p24}/", `{"prefix":"198.18.1.0/24","role":null,"changelog_message":"back"}`)
}

// addressSteps: addresses and their filters.
func (s *script) addressSteps() {
	s.post("addresses", addresses, `[{"address":"198.18.1.10/24","vrf":{vrf},"dns_name":"U1.Example.ORG","tenant":{tenant2},"custom_fields":{"used_by":"/1.0/instances/ü?p=1&x=\"q\"","sync_owner":"dc1/lxd","sync_type":"instance","hwaddr":"00:16:3e:00:00:01"}},
		{"address":"198.18.1.9/32","vrf":{vrf},"role":"vip","custom_fields":{"sync_owner":"dc1/other"}},
		{"address":"2001:db8::ABCD/64","vrf":{vrf},"status":"slaac","custom_fields":{"sync_owner":""}},
		{"address":"198.18.1.100","vrf":{vrf},"status":"dhcp","tags":[{"id":{taga}},{"slug":"nbt-real-b"}]},
		{"address":"::ffff:198.18.1.1/128","vrf":{vrf}},{"address":"::198.18.1.1/128","vrf":{vrf}},{"address":"::1/128","vrf":{vrf}}]`, "a1", "a2", "a3", "a4", "a5", "a6", "a7")
	s.get("addresses in order", addresses+"?vrf_id={vrf}")
	s.get("addresses of grey or blue", addresses+"?vrf_id={vrf}&vrf_id={grey}&fields=id,address")
	s.get("addresses by rd", addresses+"?vrf=nbt:1&fields=id,address,vrf,tenant,tags")
	s.get("addresses by unknown rd", addresses+"?vrf=nbt:77&fields=id")
	s.get("addresses by bad vrf", addresses+"?vrf_id=77777777&fields=id")
	s.get("addresses by empty vrf_id", addresses+"?vrf_id=&vrf={none}&fields=id")
	s.get("addresses by text vrf", addresses+"?vrf_id=abc&status=nope&id=x&fields=id")
	s.get("filter vrf null", addresses+"?vrf_id=null&address=198.18.1.10&fields=id")
	s.get("address host", addresses+"?vrf_id={vrf}&address=198.18.1.10&fields=address")
	s.get("address other mask", addresses+"?vrf_id={vrf}&address=198.18.1.10/32&fields=address")
	s.get("address right mask", addresses+"?vrf_id={vrf}&address=198.18.1.10/24&fields=address")
	s.get("address netmask", addresses+"?vrf_id={vrf}&address=198.18.1.10/255.255.255.0&fields=address")
	s.get("address mixed", addresses+"?vrf_id={vrf}&address=198.18.1.10/24&address=198.18.1.9&address=rubbish&address=2001:DB8::abcd&fields=address")
	s.get("address only rubbish", addresses+"?vrf_id={vrf}&address=rubbish&fields=address")
	s.get("address empty", addresses+"?vrf_id={vrf}&address=&fields=address")
	s.get("address mapped", addresses+"?vrf_id={vrf}&address=::ffff:198.18.1.1&fields=address")
	s.get("address zone", addresses+"?vrf_id={vrf}&address=fe80::1%25eth0&fields=address")
	s.get("parent", addresses+"?vrf_id={vrf}&parent=198.18.1.0/28&parent=2001:db8::/32&fields=address")
	s.get("parent rubbish", addresses+"?vrf_id={vrf}&parent=198.18.1.0/28&parent=rubbish&fields=address")
	s.get("parent whole family", addresses+"?vrf_id={vrf}&parent=::/0&fields=address")
	s.get("family", addresses+"?vrf_id={vrf}&family=4&fields=address")
	s.get("status and role", addresses+"?vrf_id={vrf}&status=active&status=dhcp&role=vip&fields=address")
	s.get("role null", addresses+"?vrf_id={vrf}&role=null&fields=address")
	s.get("bad role", addresses+"?vrf_id={vrf}&role=weird&fields=address")
	s.get("dns_name", addresses+"?vrf_id={vrf}&dns_name=u1.example.org&fields=address,dns_name")
	s.get("dns_name ic", addresses+"?vrf_id={vrf}&dns_name__ic=EXAMPLE&fields=address")
	s.get("dns_name empty", addresses+"?vrf_id={vrf}&dns_name__empty=true&fields=address")
	s.get("dns_name n", addresses+"?vrf_id={vrf}&dns_name__n=u1.example.org&fields=address")
}

// filterSteps: filters by custom fields, tags and more.
func (s *script) filterSteps() {
	s.get("tenant", addresses+"?vrf_id={vrf}&tenant=nbt-real-2&fields=address,tenant")
	s.get("tenant unknown", addresses+"?vrf_id={vrf}&tenant=nbt-none&fields=address")
	s.get("tenant null", addresses+"?vrf_id={vrf}&tenant_id=null&fields=address")
	s.get("tag and tag", addresses+"?vrf_id={vrf}&tag=nbt-real-a&tag=nbt-real-b&fields=address,tags")
	s.get("tag n", addresses+"?vrf_id={vrf}&tag__n=nbt-real-a&fields=address")
	s.get("tag unknown", addresses+"?vrf_id={vrf}&tag=nbt-none&fields=address")
	s.get("cf owner", addresses+"?vrf_id={vrf}&cf_sync_owner=dc1/lxd&fields=address")
	s.get("cf two owners", addresses+"?vrf_id={vrf}&cf_sync_owner=dc1/lxd&cf_sync_owner=dc1/other&fields=address")
	s.get("cf owner other case", addresses+"?vrf_id={vrf}&cf_sync_owner=DC1/LXD&fields=address")
	s.get("cf owner empty", addresses+"?vrf_id={vrf}&cf_sync_owner=&fields=address")
	s.get("cf owner null", addresses+"?vrf_id={vrf}&cf_sync_owner=null&fields=address,custom_fields")
	s.get("cf owner n", addresses+"?vrf_id={vrf}&cf_sync_owner__n=dc1/lxd&fields=address")
	s.get("cf owner isw", addresses+"?vrf_id={vrf}&cf_sync_owner__isw=dc1/&fields=address")
	s.get("cf owner ic", addresses+"?vrf_id={vrf}&cf_sync_owner__ic=LX&fields=address")
	s.get("cf owner empty lookup", addresses+"?vrf_id={vrf}&cf_sync_owner__empty=true&fields=address")
	s.get("cf owner unknown lookup", addresses+"?vrf_id={vrf}&cf_sync_owner__in=dc1/lxd&fields=address")
	s.get("cf used_by unicode", addresses+"?vrf_id={vrf}&cf_used_by=/1.0/instances/%C3%BC%3Fp%3D1%26x%3D%22q%22&fields=address,custom_fields")
	s.get("cf of the other type", networks+"?vrf_id={vrf}&cf_hwaddr=x&fields=prefix")
	s.get("cf unknown", addresses+"?vrf_id={vrf}&cf_none=x&nothing=1&fields=address")
	s.get("id filter", addresses+"?id={a1}&id={a2}&id=99999999999&fields=id")
	s.get("id gte", addresses+"?vrf_id={vrf}&id__gt=0&ordering=-id&fields=id")
	s.get("ordering unknown", addresses+"?vrf_id={vrf}&ordering=nothing&fields=id")
	s.get("ordering dns_name", addresses+"?vrf_id={vrf}&ordering=-dns_name,id&fields=id")
	s.get("last_updated filter", addresses+"?vrf_id={vrf}&last_updated__gte=2020-01-01T00:00:00Z&last_updated__lt=2021-01-01&fields=id")
	s.get("last_updated bad", addresses+"?vrf_id={vrf}&last_updated__gte=yesterday&fields=id")
	s.get("q", addresses+"?vrf_id={vrf}&q=198.18.1.1&fields=address")
}

// pageSteps: pages, links and fields.
func (s *script) pageSteps() {
	s.get("limit 0", addresses+"?vrf_id={vrf}&limit=0&fields=id")
	s.get("limit huge", addresses+"?vrf_id={vrf}&limit=100000&fields=id")
	s.get("limit bad", addresses+"?vrf_id={vrf}&limit=x&offset=y&fields=id")
	s.get("limit negative", addresses+"?vrf_id={vrf}&limit=-1&offset=-1&fields=id")
	s.get("offset middle", addresses+"?vrf_id={vrf}&limit=2&offset=3&fields=id")
	s.get("offset near", addresses+"?vrf_id={vrf}&limit=3&offset=2&fields=id")
	s.get("offset beyond", addresses+"?vrf_id={vrf}&limit=2&offset=100&fields=id")
	s.get("offset at the end", addresses+"?vrf_id={vrf}&limit=2&offset=7&fields=id")
	s.get("cursor with offset", addresses+"?vrf_id={vrf}&start=0&offset=2&fields=id")
	s.get("cursor with ordering", addresses+"?vrf_id={vrf}&start=0&ordering=id&fields=id")
	s.get("cursor bad", addresses+"?vrf_id={vrf}&start=x&fields=id")
	s.get("cursor negative", addresses+"?vrf_id={vrf}&start=-1&fields=id")
	s.get("cursor full page at the end", addresses+"?vrf_id={vrf}&start=0&limit=7&fields=id")
	s.get("cursor by default", addresses+"?vrf_id={vrf}&start=0&fields=id")
	s.get("link encoding", addresses+"?vrf_id={vrf}&limit=1&q=&z=%C3%BC+%2B%20a/b~c*d!(')&y=1;2&b&b=%zz&fields=id")
	s.get("fields nested", addresses+"{a1}/?fields=id,vrf.name,vrf,nothing")
	s.get("fields only unknown", addresses+"{a1}/?fields=nothing")
	s.get("fields empty", addresses+"{a1}/?fields=&brief=false")
	s.get("omit", addresses+"{a1}/?omit=custom_fields,tags,vrf,nothing")
	s.get("fields and omit and brief", addresses+"{a1}/?omit=id&fields=id,url&brief=1")
	s.get("vrf with counts", "/api/ipam/vrfs/{vrf}/")
	s.get("vrf brief", "/api/ipam/vrfs/?id={vrf}&brief=1")
	s.get("tenant brief", "/api/tenancy/tenants/?id={tenant2}&brief=1&limit=1")
	s.get("tenant counts", "/api/tenancy/tenants/{tenant2}/")
	s.get("role counts", "/api/ipam/roles/{role}/")
	s.get("role brief", "/api/ipam/roles/?id={role}&brief=1")
	s.get("tag counts", "/api/extras/tags/{taga}/")
}

// createErrorSteps: what a create can be refused for.
func (s *script) createErrorSteps() {
	s.post("duplicates in one vrf", addresses, `[{"address":"198.18.1.10/32","vrf":{vrf},"role":"anycast"},{"address":"198.18.1.9/24","vrf":{vrf},"role":"anycast"},{"address":"198.18.1.9/24","vrf":{vrf},"role":"loopback"}]`)
	s.post("errors of every field", addresses, `[{"address":"198.18.1.50/24","vrf":{vrf},"status":null,"role":null,"description":null,"dns_name":7,"tags":"x","tenant":"x","custom_fields":[]},
		{"address":"198.18.1.50/24","vrf":{vrf},"status":"","role":"","nat_inside":{"address":"198.18.1.10/24","vrf":{vrf}}},
		{"address":"198.18.1.51/24","vrf":{vrf},"status":{"value":"active"},"role":["vip"],"custom_fields":null,"tags":null,"nat_inside":77777777},
		{"address":"198.18.1.52/24","vrf":{vrf},"status":5,"role":true,"dns_name":"a..b","description":["x"],"comments":5},
		{"address":"198.18.1.53/24","vrf":{vrf},"status":"7","role":"TRUE","dns_name":" x.y. ","assigned_object_type":"dcim.nothing","assigned_object_id":3},
		{"address":"198.18.1.54/24","vrf":{vrf},"status":"slaac"},{"address":"198.18.1.55/0","vrf":{vrf}},{"address":" 198.18.1.56/24","vrf":{vrf}},{"address":"198.018.1.56/24","vrf":{vrf}},
		{"address":"198.18.1/24","vrf":{vrf}},{"address":["198.18.1.57/24"],"vrf":{vrf}},{"address":1.5},{"address":{"a":1}},{"vrf":{vrf}},{"address":"   "},null,5,[],
		{"address":"198.18.1.58/24","vrf":{vrf},"custom_fields":{"used_by":5,"sync_owner":"x"}},{"address":"198.18.1.58/24","vrf":{vrf},"custom_fields":{"used_by":["a"]}},
		{"address":"198.18.1.59/24","vrf":{vrf},"custom_fields":{"b_none":1,"a_none":2}},{"address":"198.18.1.59/24","vrf":{vrf},"owner":7},
		{"address":"198.18.1.60/24","vrf":{vrf},"tags":["nbt-real-a"]},{"address":"198.18.1.60/24","vrf":{vrf},"tags":[{"slug":"none1"},{"slug":"none2"}]},{"address":"198.18.1.60/24","vrf":{vrf},"tags":[{}]},
		{"address":"198.18.1.60/24","vrf":{vrf},"remove_tags":[{taga}]},{"address":"198.18.1.60/24","vrf":{"name":"nbt-real blue","rd":"nbt:1","enforce_unique":true}},
		{"address":"198.18.1.60/24","vrf":{vrf},"tenant":{"slug":5}},{"address":"198.18.1.61/24","vrf":1e3}]`)
	s.post("long texts", addresses, `[{"address":"198.18.1.62/24","vrf":{vrf},"dns_name":"`+strings.Repeat("a", 256)+`","description":"`+strings.Repeat("ü", 201)+`","comments":"`+strings.Repeat("c", 3000)+`"}]`)
	s.post("long used_by", addresses, `{"address":"198.18.1.63/24","vrf":{vrf},"custom_fields":{"used_by":"/`+strings.Repeat("ü€\\\"\\n", 400)+`"}}`, "long")
	s.get("long used_by read", addresses+"{long}/?fields=custom_fields")
	s.post("nul in a custom field", addresses, `[{"address":"198.18.1.64/24","vrf":{vrf},"description":"a\u0000b"}]`)
	s.post("space in a custom field", addresses, `{"address":"198.18.1.65/24","vrf":{vrf},"custom_fields":{"used_by":"  x  ","sync_type":""}}`, "spaces")
	s.get("empty custom field by null", addresses+"?vrf_id={vrf}&cf_sync_type=null&address=198.18.1.65&fields=id")
	s.post("single duplicate", addresses, `{"address":"198.18.1.10/24","vrf":{vrf}}`)
	s.post("single wrong type", addresses, `"x"`)
	s.post("single number", addresses, `5`)
	s.raw("single null", "POST", addresses, `null`)
	s.raw("no body", "POST", addresses, ``)
}

// updateSteps: changes of one row, preconditions and tokens.
func (s *script) updateSteps() {
	s.patch("patch unknown cf", addresses+"{a1}/", `{"custom_fields":{"none":1}}`)
	s.patch("patch cf null", addresses+"{a1}/", `{"custom_fields":{"sync_type":null}}`)
	s.patch("patch nothing", addresses+"{a1}/", `{}`)
	s.patch("patch add tags", addresses+"{a1}/", `{"add_tags":[{taga}]}`)
	s.patch("patch tags and add_tags", addresses+"{a1}/", `{"tags":[{tagb}],"add_tags":[{taga}]}`)
	s.patch("patch remove tags", addresses+"{a1}/", `{"remove_tags":[{"slug":"nbt-real-a"}],"address":"198.18.1.10/25"}`)
	s.patch("patch to the same host", addresses+"{a2}/", `{"address":"198.18.1.10/24"}`)
	s.patch("patch vrf", addresses+"{a2}/", `{"vrf":{grey},"role":""}`)
	s.patch("patch vrf back", addresses+"{a2}/", `{"vrf":{vrf}}`)
	s.patch("patch list body", addresses+"{a2}/", `[]`)
	s.patch("patch gone", addresses+"77777777/", `{}`)
	s.write("PUT", "put without address", addresses+"{a2}/", `{"description":"x"}`)
	s.write("PUT", "put", addresses+"{a2}/", `{"address":"198.18.1.9/32","description":"x"}`)
	s.steps = append(s.steps,
		step{name: "if-match stale", method: "PATCH", path: addresses + "{a2}/", body: `{"description":"y"}`, headers: map[string]string{"If-Match": `W/"2020-01-01T00:00:00+00:00"`}},
		step{name: "if-match any", method: "PATCH", path: addresses + "{a2}/", body: `{"description":"y"}`, headers: map[string]string{"If-Match": `*`}},
		step{name: "delete stale", method: "DELETE", path: addresses + "{a2}/", headers: map[string]string{"If-Match": `"x"`}},
		step{name: "text body", method: "POST", path: addresses, body: `[]`, raw: true, headers: map[string]string{"Content-Type": "text/plain"}},
		step{name: "token alone", method: "GET", path: addresses, anonymous: true, headers: map[string]string{"Authorization": "Token"}},
		step{name: "token with spaces", method: "GET", path: addresses, anonymous: true, headers: map[string]string{"Authorization": "Token a b"}},
		step{name: "v2 without dot", method: "GET", path: addresses, anonymous: true, headers: map[string]string{"Authorization": "Bearer nbt_abc"}},
		step{name: "bearer v1", method: "GET", path: addresses, anonymous: true, headers: map[string]string{"Authorization": "Bearer abc"}},
		step{name: "basic", method: "GET", path: addresses, anonymous: true, headers: map[string]string{"Authorization": "Basic abc"}},
		step{name: "status without token", method: "GET", path: "/api/status/", anonymous: true},
	)
}

// bulkSteps: changes of many rows, NAT and the change log.
func (s *script) bulkSteps() {
	s.write("PATCH", "bulk not a list", addresses, `{}`)
	s.write("PATCH", "bulk an object", addresses, `{"id":1}`)
	s.write("PATCH", "bulk bad ids", addresses, `[{"id":{a1}},{"id":"x"},{},5,{"id":null},{"id":1.5},{"id":true}]`)
	s.write("PATCH", "bulk repeated", addresses, `[{"id":{a1}},{"id":{a2}},{"id":{a1}}]`)
	s.write("PATCH", "bulk id as text", addresses, `[{"id":"{a1}","description":"text id"}]`)
	s.write("PATCH", "bulk empty", addresses, `[]`)
	s.write("PATCH", "bulk swap", addresses, `[{"id":{a1},"address":"198.18.1.9/24"},{"id":{a2},"address":"198.18.1.10/24"}]`)
	s.write("PATCH", "bulk in the list's order", addresses, `[{"id":{a3},"description":"3"},{"id":{a1},"description":"1"},{"id":{a7},"description":"7"}]`)
	s.write("PATCH", "bulk two wrong", addresses, `[{"id":{a3},"status":"x"},{"id":{a1},"description":"1"},{"id":{a7},"address":"::1/0"}]`)
	s.write("DELETE", "bulk delete not a list", addresses, `{"id":1}`)
	s.raw("bulk delete no body", "DELETE", addresses, ``)
	s.write("DELETE", "bulk delete repeated", addresses, `[{"id":{a6}},{"id":{a6}}]`)
	s.write("DELETE", "vrf in use", "/api/ipam/vrfs/{grey}/", ``)
	s.post("nat", addresses, `[{"address":"203.0.113.1/32","vrf":{vrf},"nat_inside":{a1}},{"address":"203.0.113.2/32","vrf":{vrf},"nat_inside":{"dns_name":"u1.example.org"}}]`, "n1", "n2")
	s.get("nat inside", addresses+"{a1}/")
	s.get("nat filter", addresses+"?nat_inside_id={a1}&fields=id,nat_inside")
	s.write("DELETE", "nat delete", addresses, `[{"id":{a1}},{"id":{n1}}]`)
	s.get("nat afterwards", addresses+"{n2}/")

	for path, ids := range map[string][]string{"ipam.ipaddress": {"a1", "a2", "n2"}, "ipam.prefix": {"p24"}, "ipam.vrf": {"vrf"}, "tenancy.tenant": {"tenant2"}, "ipam.role": {"role"}, "extras.tag": {"taga"}} {
		for _, id := range ids {
			s.get("changes of "+id, "/api/core/object-changes/?changed_object_type="+path+"&changed_object_id={"+id+"}&limit=30")
		}
	}
}

// formSteps: bodies that are no JSON, free addresses and odd paths.
func (s *script) formSteps() {
	for _, body := range []string{`[{"address":"x",}]`, `[1,]`, `{"a" 1}`, `{"a":1 "b":2}`, `{a:1}`, `["a`, "[\"a\nb\"]", `["\x"]`, `["\u12"]`, `[1] x`, `[NaN]`, `[-]`, `[01]`, `[1.]`, ` `, `nul`, "[\n\n 1,\n  tru]", `[1e999]`, `{"a":}`, `[,]`, "\xff"} {
		s.raw("bad json "+body, "POST", addresses, body)
	}
	s.get("available", networks+"{p24}/available-ips/?limit=3")
	s.get("available default", networks+"{p64}/available-ips/?limit=x")
	s.get("available in a pool", networks+"{p25}/available-ips/?limit=2")
	s.get("available of none", networks+"77777777/available-ips/")
	s.post("take one", networks+"{p24}/available-ips/", `{"description":"taken","vrf":{grey},"address":"1.2.3.4/32"}`)
	s.post("take two", networks+"{p24}/available-ips/", `[{"prefix_length":32},{"custom_fields":{"sync_owner":"x"}}]`)
	s.post("take wrong", networks+"{p24}/available-ips/", `[{},{"status":"weird"}]`)
	s.post("take one wrong", networks+"{p24}/available-ips/", `{"status":"weird"}`)
	s.post("take bad length", networks+"{p24}/available-ips/", `[{},{"prefix_length":8},{"prefix_length":33},{"prefix_length":"x"},5]`)
	s.raw("take without body", "POST", networks+"{p24}/available-ips/", ``)
	s.post("take v6", networks+"{p64}/available-ips/", `[{},{}]`)

	s.get("no slash", "/api/ipam/ip-addresses?limit=1")
	s.raw("post no slash", "POST", "/api/ipam/ip-addresses", `[]`)
	s.get("unknown path", "/api/ipam/nothing/")
	s.get("unknown path no slash", "/api/ipam/nothing")
	s.get("id not a number", "/api/ipam/ip-addresses/abc/")
	s.get("below a row", addresses+"{a3}/nothing/")
	s.write("POST", "post to a row", addresses+"{a3}/", `{}`)
	s.write("PUT", "put list", addresses, `[]`)
	s.write("DELETE", "delete status", "/api/status/", ``)
	s.write("POST", "post changes", "/api/core/object-changes/", `{}`)
}

// customFieldSteps: custom fields and what they do to rows.
func (s *script) customFieldSteps() {
	s.post("custom field errors", "/api/extras/custom-fields/", `{"name":"nbt-real","type":"texty","object_types":["ipam.nothing"]}`)
	s.post("custom field more errors", "/api/extras/custom-fields/", `{"name":"nbt__real","type":"text","object_types":[]}`)
	s.post("custom field type list", "/api/extras/custom-fields/", `{"name":"nbt_real_x","type":"text","object_types":"ipam.prefix","filter_logic":"odd"}`)
	s.post("custom field bad type form", "/api/extras/custom-fields/", `{"name":"nbt_real_x","type":"text","object_types":["prefix"]}`)
	s.post("custom field select without choices", "/api/extras/custom-fields/", `{"name":"nbt_real_x","type":"select","object_types":["ipam.prefix"]}`)
	s.post("custom field", "/api/extras/custom-fields/", `{"name":"nbt_real_x","type":"text","object_types":["ipam.role"],"default":"dflt","validation_regex":"^[a-z]+$"}`, "cf")
	s.get("custom field on an old row", "/api/ipam/roles/{role}/?fields=custom_fields")
	s.post("role with regex", "/api/ipam/roles/", `{"name":"nbt-real s","slug":"nbt-real-s","custom_fields":{"nbt_real_x":"A1"}}`)
	s.post("role with default", "/api/ipam/roles/", `{"name":"nbt-real s","slug":"nbt-real-s"}`)
	s.get("loose filter", "/api/ipam/roles/?cf_nbt_real_x=FL&fields=name,custom_fields")
	s.patch("custom field unassign", "/api/extras/custom-fields/{cf}/", `{"object_types":["ipam.vrf"]}`)
	s.patch("custom field type change", "/api/extras/custom-fields/{cf}/", `{"type":"integer"}`)
	s.get("custom field gone from roles", "/api/ipam/roles/?cf_nbt_real_x=FL&name__isw=nbt-real&fields=name,custom_fields")
	s.get("custom fields by type", "/api/extras/custom-fields/?object_type=ipam.vrf&type=text&name__isw=nbt&fields=name,object_types")
	s.write("DELETE", "custom field delete", "/api/extras/custom-fields/{cf}/", ``)
	s.get("custom field deleted", "/api/extras/custom-fields/{cf}/")
}

// permissionSteps are asked by a user who may write only rows whose sync_owner
// starts with nbt1/.
func (s *script) permissionSteps() {
	do := func(method, name, path, body string, save ...string) {
		s.steps = append(s.steps, step{name: "limited: " + name, method: method, path: path, body: body, save: save,
			anonymous: true, headers: map[string]string{"Authorization": "Token {limited}"}})
	}
	do("GET", "status", "/api/status/", ``)
	do("GET", "list", addresses+"?vrf_id={vrf}&fields=id,address", ``)
	do("POST", "create own", addresses, `[{"address":"198.18.3.1/24","vrf":{vrf},"custom_fields":{"sync_owner":"nbt1/x"}},{"address":"198.18.3.2/24","vrf":{vrf},"custom_fields":{"sync_owner":"nbt1/y"}}]`, "o1", "o2")
	do("POST", "create another's", addresses, `[{"address":"198.18.3.3/24","vrf":{vrf},"custom_fields":{"sync_owner":"nbt1/x"}},{"address":"198.18.3.4/24","vrf":{vrf},"custom_fields":{"sync_owner":"nbt2/x"}},{"address":"x"}]`)
	do("POST", "create nobody's", addresses, `{"address":"198.18.3.5/24","vrf":{vrf}}`)
	do("POST", "create with VRF by name", addresses, `{"address":"198.18.3.6/24","vrf":{"name":"nbt-real blue"},"custom_fields":{"sync_owner":"nbt1/x"}}`, "o3")
	do("PATCH", "change another's", addresses+"{a3}/", `{"description":"x"}`)
	do("PATCH", "change another's in bulk", addresses, `[{"id":{o1},"description":"x"},{"id":{a3},"description":"x"}]`)
	do("PATCH", "give away", addresses+"{o1}/", `{"custom_fields":{"sync_owner":"nbt2/x"}}`)
	do("PATCH", "give away in bulk", addresses, `[{"id":{o1},"custom_fields":{"sync_owner":null}},{"id":{o2},"description":"fine"}]`)
	do("PATCH", "hand over within", addresses, `[{"id":{o1},"custom_fields":{"sync_owner":"nbt1/z"}}]`)
	do("DELETE", "delete another's", addresses+"{a3}/", ``)
	do("DELETE", "delete another's in bulk", addresses, `[{"id":{o1}},{"id":{a3}}]`)
	do("DELETE", "delete own", addresses, `[{"id":{o1}},{"id":{o2}}]`)
	do("POST", "take nobody's", networks+"{p24}/available-ips/", `[{}]`)
	do("POST", "take own", networks+"{p24}/available-ips/", `[{"custom_fields":{"sync_owner":"nbt1/x"}}]`)
	do("GET", "available", networks+"{p24}/available-ips/?limit=1", ``)
	do("POST", "prefix of another", networks, `[{"prefix":"198.19.0.0/24","vrf":{vrf}}]`)
	do("POST", "no permission on the type", "/api/ipam/vrfs/", `{"name":"nbt-real x"}`)
	do("GET", "no view on the type", "/api/ipam/roles/", ``)
	do("POST", "role by a name that is not visible", networks, `[{"prefix":"198.19.0.0/24","vrf":{vrf},"role":{"slug":"nbt-real-r"},"custom_fields":{"sync_owner":"nbt1/x"}}]`)
	do("POST", "role by its ID", networks, `[{"prefix":"198.19.0.0/24","vrf":{vrf},"role":{role},"custom_fields":{"sync_owner":"nbt1/x"}}]`)
	do("POST", "custom field", "/api/extras/custom-fields/", `{}`)
	do("POST", "bad JSON without permission", "/api/ipam/vrfs/", `"x"`)
}
