package mapping_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/mapping"
)

func TestCompileFindsEveryFault(t *testing.T) {
	_, err := mapping.Compile([]mapping.Rule{
		{Name: "a", Match: mapping.Match{Kind: []string{"adress"}, CIDR: []string{"10.1.2.3/24", "x"}, Name: []string{`web\`}, Source: []string{}},
			Set: mapping.Set{Status: ptr("actve"), Role: ptr("VIP"), Tags: []string{"a b", "ok"}}},
		{Name: "a"},
		{Set: mapping.Set{VRF: ptr("{sorce}"), Tenant: ptr("{nope}"), DNSName: ptr("{name"), Description: ptr("name}")}},
		{Set: mapping.Set{Status: ptr("offline"), Role: ptr("a role"), DNSName: ptr("-.-"), Description: ptr(strings.Repeat("ü", 201))}},
		{Match: mapping.Match{CIDR: []string{}}, Set: mapping.Set{Skip: ptr(true)}},
	})
	require.EqualError(t, err, strings.TrimSpace(`
rule 1 (a): match.source: lists nothing, so the rule could never match; leave the key out to match everything
rule 1 (a): match.kind: no kind "adress"; did you mean address?
rule 1 (a): match.name: "web\\" ends in a lone \; write \\ for the character itself
rule 1 (a): match.cidr: prefix 10.1.2.3/24 has host bits set; did you mean 10.1.2.0/24?
rule 1 (a): match.cidr: address "x": want a form such as 10.1.2.3 or fd00::1
rule 1 (a): set.status: NetBox has no status "actve"; did you mean active?
rule 1 (a): set.role: role "VIP"; did you mean vip?
rule 1 (a): set.tags: tag "a b" is not a slug; a slug is made of letters, digits, - and _
rule 2 (a): name: rule 1 is called a already; give each its own name
rule 2 (a): set: sets nothing; valid keys are skip, vrf, status, role, tenant, dns_name, description, tags
rule 3: set.vrf: "{sorce}": unknown placeholder {sorce}; did you mean {source}? valid are {source} {type} {project} {network} {name} {address} {mac} {used_by}
rule 3: set.tenant: "{nope}": unknown placeholder {nope}; valid are {source} {type} {project} {network} {name} {address} {mac} {used_by}
rule 3: set.dns_name: "{name": a { without a } after it; write {{ for the character itself
rule 3: set.description: "name}": a } without a { before it; write }} for the character itself
rule 4: set.status: NetBox has no status "offline"; valid are active, reserved, deprecated, dhcp, slaac, container
rule 4: set.role: role "a role" is neither a role of addresses (loopback, secondary, anycast, vip, vrrp, hsrp, glbp, carp) nor a slug, which is made of letters, digits, - and _
rule 4: set.dns_name: of "-.-" nothing is left that NetBox takes
rule 4: set.description: is 201 characters long; NetBox takes 200
rule 5: match.cidr: lists nothing, so the rule could never match; leave the key out to match everything
`))
	var faults mapping.Faults
	require.ErrorAs(t, err, &faults)
	require.Equal(t, "rules[0].match.source", faults[0].Path())
	require.Equal(t, "rules[1].name", faults[8].Path())
	require.Equal(t, "rules[0]", mapping.Fault{}.Path())
}

func TestCompileAccepts(t *testing.T) {
	mustCompile(t)
	mustCompile(t, worldRules()...)
	for _, status := range []string{"", "active", "reserved", "deprecated", "dhcp", "slaac", "container"} {
		mustCompile(t, mapping.Rule{Set: mapping.Set{Status: &status}})
	}
	for _, role := range []string{"", "loopback", "secondary", "anycast", "vip", "vrrp", "hsrp", "glbp", "carp", "access-lan", "My_Role"} {
		mustCompile(t, mapping.Rule{Set: mapping.Set{Role: &role}})
	}
	mustCompile(t, mapping.Rule{Set: mapping.Set{VRF: ptr("")}}, mapping.Rule{Set: mapping.Set{DNSName: ptr(""), Description: ptr("")}})
}

func TestCheckSources(t *testing.T) {
	m := mustCompile(t,
		mapping.Rule{Match: mapping.Match{Source: []string{"lab", "lap-*"}}, Set: mapping.Set{Skip: ptr(true)}},
		mapping.Rule{Name: "typo", Match: mapping.Match{Source: []string{"lbb", "prod"}}, Set: mapping.Set{Skip: ptr(true)}},
	)
	require.NoError(t, m.CheckSources([]string{"lab", "lap-1", "prod", "lbb"}))
	err := m.CheckSources([]string{"lab", "lap-1"})
	require.EqualError(t, err, "rule 2 (typo): match.source: no source is called \"lbb\"; did you mean lab?\n"+
		"rule 2 (typo): match.source: no source is called \"prod\"; valid are lab, lap-1")
	require.Equal(t, "rules[1].match.source", err.(mapping.Faults)[0].Path()) //nolint:errorlint // the type is the contract
}

func TestConditions(t *testing.T) {
	a := address("/1.0/instances/web-1", "10.1.2.9/24", "instance")
	a.Name, a.Network, a.NAT = "web-1", "n1", true
	p := prefix("/1.0/networks/n1", "10.1.2.0/24", "network")
	for name, c := range map[string]struct {
		match mapping.Match
		a, p  bool
	}{
		"nothing":              {mapping.Match{}, true, true},
		"source":               {mapping.Match{Source: []string{"lab"}}, true, true},
		"another source":       {mapping.Match{Source: []string{"lab2", "la"}}, false, false},
		"one of several types": {mapping.Match{Type: []string{"x", "inst*"}}, true, false},
		"no project":           {mapping.Match{Project: []string{""}}, true, true},
		"some project":         {mapping.Match{Project: []string{"?*"}}, false, false},
		"network":              {mapping.Match{Network: []string{"n?"}}, true, false},
		"kind":                 {mapping.Match{Kind: []string{"prefix"}}, false, true},
		"nat":                  {mapping.Match{NAT: ptr(true)}, true, false},
		"no nat":               {mapping.Match{NAT: ptr(false)}, false, true},
		"dynamic":              {mapping.Match{Dynamic: ptr(true)}, false, false},
		"name by case":         {mapping.Match{Name: []string{"WEB-1"}}, false, false},
		"used_by":              {mapping.Match{UsedBy: []string{"/1.0/*/web-?"}}, true, false},
		"cidr of both":         {mapping.Match{CIDR: []string{"fd00::/8", "10.0.0.0/8"}}, true, true},
		"cidr of the host":     {mapping.Match{CIDR: []string{"10.1.2.8/30"}}, true, false},
		"cidr is the prefix":   {mapping.Match{CIDR: []string{"10.1.2.0/24"}}, true, true},
		"cidr as an address":   {mapping.Match{CIDR: []string{"10.1.2.9"}}, true, false},
		"cidr within":          {mapping.Match{CIDR: []string{"10.1.2.0/25"}}, true, false},
		"all have to hold":     {mapping.Match{Kind: []string{"address"}, NAT: ptr(false)}, false, false},
		"all of several do":    {mapping.Match{Kind: []string{"address"}, NAT: ptr(true), Name: []string{"db-*", "web-*"}}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := mustCompile(t, mapping.Rule{Match: c.match, Set: mapping.Set{Skip: ptr(true)}})
			got := m.Map([]mapping.Input{input("lab", a, p)}, nil)
			var skipped []bool
			for _, s := range []any{a, p} {
				hit := false
				for _, k := range got.Skipped {
					hit = hit || k.Allocation == s
				}
				skipped = append(skipped, hit)
			}
			require.Equal(t, []bool{c.a, c.p}, skipped)
		})
	}
}
