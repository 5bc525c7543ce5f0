package netboxtest

import "strings"

const (
	addresses = "/api/ipam/ip-addresses/"
	networks  = "/api/ipam/prefixes/"
)

// realSteps are what TestReal asks, in order.
func realSteps() []step {
	var steps []step
	get := func(name, path string) { steps = append(steps, step{name: name, method: "GET", path: path}) }
	write := func(method, name, path, body string, save ...string) {
		steps = append(steps, step{name: name, method: method, path: path, body: body, save: save})
	}
	post := func(name, path, body string, save ...string) { write("POST", name, path, body, save...) }
	patch := func(name, path, body string) { write("PATCH", name, path, body) }
	raw := func(name, method, path, body string) {
		steps = append(steps, step{name: name, method: method, path: path, body: body, raw: true})
	}

	post("vrf", "/api/ipam/vrfs/", `{"name":"nbt-real blue","rd":"nbt:1","enforce_unique":true,"description":"d","comments":"c"}`, "vrf")
	post("vrf rd taken", "/api/ipam/vrfs/", `{"name":"nbt-real red","rd":"nbt:1"}`)
	post("vrf errors", "/api/ipam/vrfs/", `{"name":"","rd":"`+strings.Repeat("x", 22)+`","enforce_unique":"maybe","description":null}`)
	post("vrf relaxed", "/api/ipam/vrfs/", `{"name":"nbt-real grey","enforce_unique":false}`, "grey")
	post("tenant", "/api/tenancy/tenants/", `{"name":"nbt-real 2","slug":"nbt-real-2"}`, "tenant2")
	post("tenants", "/api/tenancy/tenants/", `[{"name":"nbt-real 10","slug":"nbt-real-10"},{"name":"NBT-real 1","slug":"nbt-real-1","description":"x"}]`, "tenant10", "tenant1")
	post("tenant twice", "/api/tenancy/tenants/", `{"name":"nbt-real 2","slug":"nbt-real-2"}`)
	post("tenant bad slug", "/api/tenancy/tenants/", `{"name":"nbt-real 3","slug":"no slug"}`)
	get("tenants in order", "/api/tenancy/tenants/?name__isw=nbt-real")
	get("tenant by name", "/api/tenancy/tenants/?name=nbt-real+2")
	get("tenant by slugs", "/api/tenancy/tenants/?slug=nbt-real-2&slug=nbt-real-10&slug=none&brief=true")
	get("tenant by other case", "/api/tenancy/tenants/?name=NBT-REAL+2&fields=id")
	post("role", "/api/ipam/roles/", `{"name":"nbt-real r","slug":"nbt-real-r"}`, "role")
	post("role twice", "/api/ipam/roles/", `{"name":"nbt-real r","slug":"nbt-real-r"}`)
	get("roles", "/api/ipam/roles/?slug=nbt-real-r")
	post("tags", "/api/extras/tags/", `[{"name":"nbt-real b","slug":"nbt-real-b"},{"name":"nbt-real a","slug":"nbt-real-a"}]`, "tagb", "taga")
	post("tag twice", "/api/extras/tags/", `{"name":"nbt-real a","slug":"nbt-real-a"}`)
	get("tags", "/api/extras/tags/?name__isw=nbt-real")

	post("prefixes", networks, `[{"prefix":"198.18.0.0/16","vrf":{vrf},"status":"container","role":{role},"tenant":{"slug":"nbt-real-2"}},
		{"prefix":"198.18.1.0/24","vrf":{vrf},"tags":[{"name":"nbt-real b"},{"slug":"nbt-real-a"}],"custom_fields":{"sync_owner":"dc1/lxd","used_by":"/1.0/networks/x"}},
		{"prefix":"198.18.1.128/25","vrf":{vrf},"is_pool":"yes","mark_utilized":1},
		{"prefix":"2001:DB8:0:0::/64","vrf":{vrf}},{"prefix":"198.18.0.0/15","vrf":{vrf}}]`, "p16", "p24", "p25", "p64", "p15")
	get("prefixes in order", networks+"?vrf_id={vrf}")
	get("prefixes brief", networks+"?vrf_id={vrf}&brief=1")
	get("prefixes by role", networks+"?role=nbt-real-r&fields=id,prefix,role")
	get("prefixes within", networks+"?vrf_id={vrf}&within=198.18.0.0/16&fields=id,prefix,children,_depth")
	get("prefixes within_include", networks+"?vrf_id={vrf}&within_include=198.18.0.0/16&fields=prefix")
	get("prefixes contains address", networks+"?vrf_id={vrf}&contains=198.18.1.200&fields=prefix")
	get("prefixes contains prefix", networks+"?vrf_id={vrf}&contains=198.18.1.128/25&fields=prefix")
	get("prefixes contains nonsense", networks+"?vrf_id={vrf}&contains=x&fields=prefix")
	get("prefix equal", networks+"?vrf_id={vrf}&prefix=198.18.1.0/24&prefix=2001:db8::/64&fields=prefix")
	get("prefix nonsense", networks+"?vrf_id={vrf}&prefix=nonsense&fields=prefix")
	get("prefix with host bits", networks+"?vrf_id={vrf}&prefix=198.18.1.7/24&fields=prefix")
	get("prefix mask_length", networks+"?vrf_id={vrf}&mask_length=24&mask_length=25&fields=prefix")
	get("prefix mask_length gte", networks+"?vrf_id={vrf}&mask_length__gte=25&fields=prefix")
	get("prefix depth", networks+"?vrf_id={vrf}&depth=2&fields=prefix")
	get("prefix status", networks+"?vrf_id={vrf}&status=container&fields=prefix")
	get("prefix bad status", networks+"?vrf_id={vrf}&status=weird&fields=prefix")
	get("prefix family", networks+"?vrf_id={vrf}&family=6&fields=prefix")
	get("prefix bad family", networks+"?vrf_id={vrf}&family=x&fields=prefix")
	get("prefix by tag", networks+"?vrf_id={vrf}&tag=nbt-real-a&tag=nbt-real-b&fields=prefix")
	post("prefix bad values", networks, `[{"prefix":"x"},{"prefix":5},{"prefix":true},{"prefix":null},{},{"prefix":""},{"prefix":"0.0.0.0/0","vrf":{vrf}},{"prefix":"198.18.9.0/24","vrf":"abc"},
		{"prefix":"198.18.9.0/24","vrf":[1]},{"prefix":"198.18.9.0/24","vrf":{"name":"none such"}},{"prefix":"198.18.9.0/24","vrf":{"rd":"nbt:1"},"status":"dhcp"},
		{"prefix":"198.18.9.0/24","vrf":{vrf},"is_pool":"perhaps"},{"prefix":"198.18.9.0/24","vrf":{vrf},"vlan":77777777},{"prefix":"198.18.9.0/24","vrf":{vrf},"scope_type":"dcim.nothing","scope_id":5},
		{"prefix":"198.18.1.0","vrf":{vrf}},{"prefix":"198.18.1.0/255.255.255.0","vrf":{vrf}},{"prefix":"198.18.1.0/33","vrf":{vrf}}]`)
	patch("prefix hostbits", networks+"{p24}/", `{"prefix":"198.18.1.1/24"}`)
	patch("prefix move", networks+"{p24}/", `{"prefix":"198.18.2.0/24","tags":[]}`)
	patch("prefix move back", networks+"{p24}/", `{"prefix":"198.18.1.0/24","role":null,"changelog_message":"back"}`)

	post("addresses", addresses, `[{"address":"198.18.1.10/24","vrf":{vrf},"dns_name":"U1.Example.ORG","tenant":{tenant2},"custom_fields":{"used_by":"/1.0/instances/ü?p=1&x=\"q\"","sync_owner":"dc1/lxd","sync_type":"instance","hwaddr":"00:16:3e:00:00:01"}},
		{"address":"198.18.1.9/32","vrf":{vrf},"role":"vip","custom_fields":{"sync_owner":"dc1/other"}},
		{"address":"2001:db8::ABCD/64","vrf":{vrf},"status":"slaac","custom_fields":{"sync_owner":""}},
		{"address":"198.18.1.100","vrf":{vrf},"status":"dhcp","tags":[{"id":{taga}},{"slug":"nbt-real-b"}]},
		{"address":"::ffff:198.18.1.1/128","vrf":{vrf}},{"address":"::198.18.1.1/128","vrf":{vrf}},{"address":"::1/128","vrf":{vrf}}]`, "a1", "a2", "a3", "a4", "a5", "a6", "a7")
	get("addresses in order", addresses+"?vrf_id={vrf}")
	get("addresses of grey or blue", addresses+"?vrf_id={vrf}&vrf_id={grey}&fields=id,address")
	get("addresses by rd", addresses+"?vrf=nbt:1&fields=id,address,vrf,tenant,tags")
	get("addresses by unknown rd", addresses+"?vrf=nbt:77&fields=id")
	get("addresses by bad vrf", addresses+"?vrf_id=77777777&fields=id")
	get("addresses by empty vrf_id", addresses+"?vrf_id=&vrf={none}&fields=id")
	get("addresses by text vrf", addresses+"?vrf_id=abc&status=nope&id=x&fields=id")
	get("filter vrf null", addresses+"?vrf_id=null&address=198.18.1.10&fields=id")
	get("address host", addresses+"?vrf_id={vrf}&address=198.18.1.10&fields=address")
	get("address other mask", addresses+"?vrf_id={vrf}&address=198.18.1.10/32&fields=address")
	get("address right mask", addresses+"?vrf_id={vrf}&address=198.18.1.10/24&fields=address")
	get("address netmask", addresses+"?vrf_id={vrf}&address=198.18.1.10/255.255.255.0&fields=address")
	get("address mixed", addresses+"?vrf_id={vrf}&address=198.18.1.10/24&address=198.18.1.9&address=rubbish&address=2001:DB8::abcd&fields=address")
	get("address only rubbish", addresses+"?vrf_id={vrf}&address=rubbish&fields=address")
	get("address empty", addresses+"?vrf_id={vrf}&address=&fields=address")
	get("address mapped", addresses+"?vrf_id={vrf}&address=::ffff:198.18.1.1&fields=address")
	get("address zone", addresses+"?vrf_id={vrf}&address=fe80::1%25eth0&fields=address")
	get("parent", addresses+"?vrf_id={vrf}&parent=198.18.1.0/28&parent=2001:db8::/32&fields=address")
	get("parent rubbish", addresses+"?vrf_id={vrf}&parent=198.18.1.0/28&parent=rubbish&fields=address")
	get("parent whole family", addresses+"?vrf_id={vrf}&parent=::/0&fields=address")
	get("family", addresses+"?vrf_id={vrf}&family=4&fields=address")
	get("status and role", addresses+"?vrf_id={vrf}&status=active&status=dhcp&role=vip&fields=address")
	get("role null", addresses+"?vrf_id={vrf}&role=null&fields=address")
	get("bad role", addresses+"?vrf_id={vrf}&role=weird&fields=address")
	get("dns_name", addresses+"?vrf_id={vrf}&dns_name=u1.example.org&fields=address,dns_name")
	get("dns_name ic", addresses+"?vrf_id={vrf}&dns_name__ic=EXAMPLE&fields=address")
	get("dns_name empty", addresses+"?vrf_id={vrf}&dns_name__empty=true&fields=address")
	get("dns_name n", addresses+"?vrf_id={vrf}&dns_name__n=u1.example.org&fields=address")
	get("tenant", addresses+"?vrf_id={vrf}&tenant=nbt-real-2&fields=address,tenant")
	get("tenant unknown", addresses+"?vrf_id={vrf}&tenant=nbt-none&fields=address")
	get("tenant null", addresses+"?vrf_id={vrf}&tenant_id=null&fields=address")
	get("tag and tag", addresses+"?vrf_id={vrf}&tag=nbt-real-a&tag=nbt-real-b&fields=address,tags")
	get("tag n", addresses+"?vrf_id={vrf}&tag__n=nbt-real-a&fields=address")
	get("tag unknown", addresses+"?vrf_id={vrf}&tag=nbt-none&fields=address")
	get("cf owner", addresses+"?vrf_id={vrf}&cf_sync_owner=dc1/lxd&fields=address")
	get("cf two owners", addresses+"?vrf_id={vrf}&cf_sync_owner=dc1/lxd&cf_sync_owner=dc1/other&fields=address")
	get("cf owner other case", addresses+"?vrf_id={vrf}&cf_sync_owner=DC1/LXD&fields=address")
	get("cf owner empty", addresses+"?vrf_id={vrf}&cf_sync_owner=&fields=address")
	get("cf owner null", addresses+"?vrf_id={vrf}&cf_sync_owner=null&fields=address,custom_fields")
	get("cf owner n", addresses+"?vrf_id={vrf}&cf_sync_owner__n=dc1/lxd&fields=address")
	get("cf owner isw", addresses+"?vrf_id={vrf}&cf_sync_owner__isw=dc1/&fields=address")
	get("cf owner ic", addresses+"?vrf_id={vrf}&cf_sync_owner__ic=LX&fields=address")
	get("cf owner empty lookup", addresses+"?vrf_id={vrf}&cf_sync_owner__empty=true&fields=address")
	get("cf owner unknown lookup", addresses+"?vrf_id={vrf}&cf_sync_owner__in=dc1/lxd&fields=address")
	get("cf used_by unicode", addresses+"?vrf_id={vrf}&cf_used_by=/1.0/instances/%C3%BC%3Fp%3D1%26x%3D%22q%22&fields=address,custom_fields")
	get("cf of the other type", networks+"?vrf_id={vrf}&cf_hwaddr=x&fields=prefix")
	get("cf unknown", addresses+"?vrf_id={vrf}&cf_none=x&nothing=1&fields=address")
	get("id filter", addresses+"?id={a1}&id={a2}&id=99999999999&fields=id")
	get("id gte", addresses+"?vrf_id={vrf}&id__gt=0&ordering=-id&fields=id")
	get("ordering unknown", addresses+"?vrf_id={vrf}&ordering=nothing&fields=id")
	get("ordering dns_name", addresses+"?vrf_id={vrf}&ordering=-dns_name,id&fields=id")
	get("last_updated filter", addresses+"?vrf_id={vrf}&last_updated__gte=2020-01-01T00:00:00Z&last_updated__lt=2021-01-01&fields=id")
	get("last_updated bad", addresses+"?vrf_id={vrf}&last_updated__gte=yesterday&fields=id")
	get("q", addresses+"?vrf_id={vrf}&q=198.18.1.1&fields=address")

	get("limit 0", addresses+"?vrf_id={vrf}&limit=0&fields=id")
	get("limit huge", addresses+"?vrf_id={vrf}&limit=100000&fields=id")
	get("limit bad", addresses+"?vrf_id={vrf}&limit=x&offset=y&fields=id")
	get("limit negative", addresses+"?vrf_id={vrf}&limit=-1&offset=-1&fields=id")
	get("offset middle", addresses+"?vrf_id={vrf}&limit=2&offset=3&fields=id")
	get("offset near", addresses+"?vrf_id={vrf}&limit=3&offset=2&fields=id")
	get("offset beyond", addresses+"?vrf_id={vrf}&limit=2&offset=100&fields=id")
	get("offset at the end", addresses+"?vrf_id={vrf}&limit=2&offset=7&fields=id")
	get("cursor with offset", addresses+"?vrf_id={vrf}&start=0&offset=2&fields=id")
	get("cursor with ordering", addresses+"?vrf_id={vrf}&start=0&ordering=id&fields=id")
	get("cursor bad", addresses+"?vrf_id={vrf}&start=x&fields=id")
	get("cursor negative", addresses+"?vrf_id={vrf}&start=-1&fields=id")
	get("cursor full page at the end", addresses+"?vrf_id={vrf}&start=0&limit=7&fields=id")
	get("cursor by default", addresses+"?vrf_id={vrf}&start=0&fields=id")
	get("link encoding", addresses+"?vrf_id={vrf}&limit=1&q=&z=%C3%BC+%2B%20a/b~c*d!(')&y=1;2&b&b=%zz&fields=id")
	get("fields nested", addresses+"{a1}/?fields=id,vrf.name,vrf,nothing")
	get("fields only unknown", addresses+"{a1}/?fields=nothing")
	get("fields empty", addresses+"{a1}/?fields=&brief=false")
	get("omit", addresses+"{a1}/?omit=custom_fields,tags,vrf,nothing")
	get("fields and omit and brief", addresses+"{a1}/?omit=id&fields=id,url&brief=1")
	get("vrf with counts", "/api/ipam/vrfs/{vrf}/")
	get("vrf brief", "/api/ipam/vrfs/?id={vrf}&brief=1")
	get("tenant brief", "/api/tenancy/tenants/?id={tenant2}&brief=1&limit=1")
	get("tenant counts", "/api/tenancy/tenants/{tenant2}/")
	get("role counts", "/api/ipam/roles/{role}/")
	get("role brief", "/api/ipam/roles/?id={role}&brief=1")
	get("tag counts", "/api/extras/tags/{taga}/")

	post("duplicates in one vrf", addresses, `[{"address":"198.18.1.10/32","vrf":{vrf},"role":"anycast"},{"address":"198.18.1.9/24","vrf":{vrf},"role":"anycast"},{"address":"198.18.1.9/24","vrf":{vrf},"role":"loopback"}]`)
	post("errors of every field", addresses, `[{"address":"198.18.1.50/24","vrf":{vrf},"status":null,"role":null,"description":null,"dns_name":7,"tags":"x","tenant":"x","custom_fields":[]},
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
	post("long texts", addresses, `[{"address":"198.18.1.62/24","vrf":{vrf},"dns_name":"`+strings.Repeat("a", 256)+`","description":"`+strings.Repeat("ü", 201)+`","comments":"`+strings.Repeat("c", 3000)+`"}]`)
	post("long used_by", addresses, `{"address":"198.18.1.63/24","vrf":{vrf},"custom_fields":{"used_by":"/`+strings.Repeat("ü€\\\"\\n", 400)+`"}}`, "long")
	get("long used_by read", addresses+"{long}/?fields=custom_fields")
	post("nul in a custom field", addresses, `[{"address":"198.18.1.64/24","vrf":{vrf},"description":"a\u0000b"}]`)
	post("space in a custom field", addresses, `{"address":"198.18.1.65/24","vrf":{vrf},"custom_fields":{"used_by":"  x  ","sync_type":""}}`, "spaces")
	get("empty custom field by null", addresses+"?vrf_id={vrf}&cf_sync_type=null&address=198.18.1.65&fields=id")
	post("single duplicate", addresses, `{"address":"198.18.1.10/24","vrf":{vrf}}`)
	post("single wrong type", addresses, `"x"`)
	post("single number", addresses, `5`)
	raw("single null", "POST", addresses, `null`)
	raw("no body", "POST", addresses, ``)

	patch("patch unknown cf", addresses+"{a1}/", `{"custom_fields":{"none":1}}`)
	patch("patch cf null", addresses+"{a1}/", `{"custom_fields":{"sync_type":null}}`)
	patch("patch nothing", addresses+"{a1}/", `{}`)
	patch("patch add tags", addresses+"{a1}/", `{"add_tags":[{taga}]}`)
	patch("patch tags and add_tags", addresses+"{a1}/", `{"tags":[{tagb}],"add_tags":[{taga}]}`)
	patch("patch remove tags", addresses+"{a1}/", `{"remove_tags":[{"slug":"nbt-real-a"}],"address":"198.18.1.10/25"}`)
	patch("patch to the same host", addresses+"{a2}/", `{"address":"198.18.1.10/24"}`)
	patch("patch vrf", addresses+"{a2}/", `{"vrf":{grey},"role":""}`)
	patch("patch vrf back", addresses+"{a2}/", `{"vrf":{vrf}}`)
	patch("patch list body", addresses+"{a2}/", `[]`)
	patch("patch gone", addresses+"77777777/", `{}`)
	write("PUT", "put without address", addresses+"{a2}/", `{"description":"x"}`)
	write("PUT", "put", addresses+"{a2}/", `{"address":"198.18.1.9/32","description":"x"}`)
	steps = append(steps,
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

	write("PATCH", "bulk not a list", addresses, `{}`)
	write("PATCH", "bulk an object", addresses, `{"id":1}`)
	write("PATCH", "bulk bad ids", addresses, `[{"id":{a1}},{"id":"x"},{},5,{"id":null},{"id":1.5},{"id":true}]`)
	write("PATCH", "bulk repeated", addresses, `[{"id":{a1}},{"id":{a2}},{"id":{a1}}]`)
	write("PATCH", "bulk id as text", addresses, `[{"id":"{a1}","description":"text id"}]`)
	write("PATCH", "bulk empty", addresses, `[]`)
	write("PATCH", "bulk swap", addresses, `[{"id":{a1},"address":"198.18.1.9/24"},{"id":{a2},"address":"198.18.1.10/24"}]`)
	write("PATCH", "bulk in the list's order", addresses, `[{"id":{a3},"description":"3"},{"id":{a1},"description":"1"},{"id":{a7},"description":"7"}]`)
	write("PATCH", "bulk two wrong", addresses, `[{"id":{a3},"status":"x"},{"id":{a1},"description":"1"},{"id":{a7},"address":"::1/0"}]`)
	write("DELETE", "bulk delete not a list", addresses, `{"id":1}`)
	raw("bulk delete no body", "DELETE", addresses, ``)
	write("DELETE", "bulk delete repeated", addresses, `[{"id":{a6}},{"id":{a6}}]`)
	write("DELETE", "vrf in use", "/api/ipam/vrfs/{grey}/", ``)
	post("nat", addresses, `[{"address":"203.0.113.1/32","vrf":{vrf},"nat_inside":{a1}},{"address":"203.0.113.2/32","vrf":{vrf},"nat_inside":{"dns_name":"u1.example.org"}}]`, "n1", "n2")
	get("nat inside", addresses+"{a1}/")
	get("nat filter", addresses+"?nat_inside_id={a1}&fields=id,nat_inside")
	write("DELETE", "nat delete", addresses, `[{"id":{a1}},{"id":{n1}}]`)
	get("nat afterwards", addresses+"{n2}/")

	for path, ids := range map[string][]string{"ipam.ipaddress": {"a1", "a2", "n2"}, "ipam.prefix": {"p24"}, "ipam.vrf": {"vrf"}, "tenancy.tenant": {"tenant2"}, "ipam.role": {"role"}, "extras.tag": {"taga"}} {
		for _, id := range ids {
			get("changes of "+id, "/api/core/object-changes/?changed_object_type="+path+"&changed_object_id={"+id+"}&limit=30")
		}
	}
	for _, body := range []string{`[{"address":"x",}]`, `[1,]`, `{"a" 1}`, `{"a":1 "b":2}`, `{a:1}`, `["a`, "[\"a\nb\"]", `["\x"]`, `["\u12"]`, `[1] x`, `[NaN]`, `[-]`, `[01]`, `[1.]`, ` `, `nul`, "[\n\n 1,\n  tru]", `[1e999]`, `{"a":}`, `[,]`, "\xff"} {
		raw("bad json "+body, "POST", addresses, body)
	}
	get("available", networks+"{p24}/available-ips/?limit=3")
	get("available default", networks+"{p64}/available-ips/?limit=x")
	get("available in a pool", networks+"{p25}/available-ips/?limit=2")
	get("available of none", networks+"77777777/available-ips/")
	post("take one", networks+"{p24}/available-ips/", `{"description":"taken","vrf":{grey},"address":"1.2.3.4/32"}`)
	post("take two", networks+"{p24}/available-ips/", `[{"prefix_length":32},{"custom_fields":{"sync_owner":"x"}}]`)
	post("take wrong", networks+"{p24}/available-ips/", `[{},{"status":"weird"}]`)
	post("take one wrong", networks+"{p24}/available-ips/", `{"status":"weird"}`)
	post("take bad length", networks+"{p24}/available-ips/", `[{},{"prefix_length":8},{"prefix_length":33},{"prefix_length":"x"},5]`)
	raw("take without body", "POST", networks+"{p24}/available-ips/", ``)
	post("take v6", networks+"{p64}/available-ips/", `[{},{}]`)

	get("no slash", "/api/ipam/ip-addresses?limit=1")
	raw("post no slash", "POST", "/api/ipam/ip-addresses", `[]`)
	get("unknown path", "/api/ipam/nothing/")
	get("unknown path no slash", "/api/ipam/nothing")
	get("id not a number", "/api/ipam/ip-addresses/abc/")
	get("below a row", addresses+"{a3}/nothing/")
	write("POST", "post to a row", addresses+"{a3}/", `{}`)
	write("PUT", "put list", addresses, `[]`)
	write("DELETE", "delete status", "/api/status/", ``)
	write("POST", "post changes", "/api/core/object-changes/", `{}`)

	post("custom field errors", "/api/extras/custom-fields/", `{"name":"nbt-real","type":"texty","object_types":["ipam.nothing"]}`)
	post("custom field more errors", "/api/extras/custom-fields/", `{"name":"nbt__real","type":"text","object_types":[]}`)
	post("custom field type list", "/api/extras/custom-fields/", `{"name":"nbt_real_x","type":"text","object_types":"ipam.prefix","filter_logic":"odd"}`)
	post("custom field bad type form", "/api/extras/custom-fields/", `{"name":"nbt_real_x","type":"text","object_types":["prefix"]}`)
	post("custom field select without choices", "/api/extras/custom-fields/", `{"name":"nbt_real_x","type":"select","object_types":["ipam.prefix"]}`)
	post("custom field", "/api/extras/custom-fields/", `{"name":"nbt_real_x","type":"text","object_types":["ipam.role"],"default":"dflt","validation_regex":"^[a-z]+$"}`, "cf")
	get("custom field on an old row", "/api/ipam/roles/{role}/?fields=custom_fields")
	post("role with regex", "/api/ipam/roles/", `{"name":"nbt-real s","slug":"nbt-real-s","custom_fields":{"nbt_real_x":"A1"}}`)
	post("role with default", "/api/ipam/roles/", `{"name":"nbt-real s","slug":"nbt-real-s"}`)
	get("loose filter", "/api/ipam/roles/?cf_nbt_real_x=FL&fields=name,custom_fields")
	patch("custom field unassign", "/api/extras/custom-fields/{cf}/", `{"object_types":["ipam.vrf"]}`)
	patch("custom field type change", "/api/extras/custom-fields/{cf}/", `{"type":"integer"}`)
	get("custom field gone from roles", "/api/ipam/roles/?cf_nbt_real_x=FL&name__isw=nbt-real&fields=name,custom_fields")
	get("custom fields by type", "/api/extras/custom-fields/?object_type=ipam.vrf&type=text&name__isw=nbt&fields=name,object_types")
	write("DELETE", "custom field delete", "/api/extras/custom-fields/{cf}/", ``)
	get("custom field deleted", "/api/extras/custom-fields/{cf}/")
	return append(steps, permissionSteps()...)
}

// permissionSteps are asked by a user who may write only rows whose sync_owner
// starts with nbt1/.
func permissionSteps() []step {
	var steps []step
	do := func(method, name, path, body string, save ...string) {
		steps = append(steps, step{name: "limited: " + name, method: method, path: path, body: body, save: save,
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
	return steps
}
