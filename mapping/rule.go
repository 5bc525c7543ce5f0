package mapping

// Rule says what NetBox should hold for the allocations that it matches.
// It is plain data; Compile checks it.
type Rule struct {
	Name  string `yaml:"name" doc:"Name of the rule in explanations and error messages. Unique where given."`
	Match Match  `yaml:"match" doc:"Conditions on the allocation. All that are given have to hold; none matches everything."`
	Set   Set    `yaml:"set" config:"required" doc:"What to set. For each key the last rule that matches decides; tags add up."`
}

// Match is a set of conditions. One that lists several values holds where any
// of them does. Text is compared by case, and `*` stands for any number of
// characters, `?` for one, `\` takes the next character as it is.
type Match struct {
	Source  []string `yaml:"source" doc:"Names of sources."`
	Type    []string `yaml:"type" doc:"What the source calls the allocation: network, instance, network-forward, network-load-balancer, fixed, floating, reservation, route."`
	Project []string `yaml:"project" doc:"Project, tenant or pool at the source. An empty text stands for none."`
	Network []string `yaml:"network" doc:"Name of the network at the source."`
	Kind    []string `yaml:"kind" enum:"address|prefix" doc:"Sort of row in NetBox."`
	NAT     *bool    `yaml:"nat" doc:"Whether the network hides the address behind NAT."`
	Dynamic *bool    `yaml:"dynamic" doc:"Whether the address is known to be a lease. Each source's page says when it asks."`
	Name    []string `yaml:"name" doc:"Name of the instance or network that uses the address."`
	UsedBy  []string `yaml:"used_by" doc:"URI of the user."`
	CIDR    []string `yaml:"cidr" doc:"Prefixes, one of which holds the whole allocation."`
}

// Set is what a rule sets. A nil field sets nothing; a field that is the empty
// text takes back what an earlier rule set.
//
// VRF, Tenant, DNSName and Description may hold placeholders: see Placeholders.
type Set struct {
	Skip        *bool    `yaml:"skip" doc:"true: no row in NetBox. A later false takes it back."`
	VRF         *string  `yaml:"vrf" doc:"Name of the VRF; the empty text is the global table. Takes placeholders."`
	Status      *string  `yaml:"status" enum:"active|reserved|deprecated|dhcp|slaac|container|" doc:"Status. dhcp and slaac apply to addresses only, container to prefixes only."`
	Role        *string  `yaml:"role" doc:"Role of an address (loopback, secondary, anycast, vip, vrrp, hsrp, glbp, carp), or the slug of an IPAM role, which applies to prefixes only."`
	Tenant      *string  `yaml:"tenant" doc:"Slug or name of the tenant. Takes placeholders."`
	DNSName     *string  `yaml:"dns_name" doc:"DNS name of an address. Takes placeholders; where one of them is empty, the name is not set."`
	Description *string  `yaml:"description" doc:"Description, cut at 200 characters. Takes placeholders."`
	Tags        []string `yaml:"tags" doc:"Slugs of tags that the row has to have. It may have others."`
}

// Placeholders lists what templates may name between braces, in the order in
// which messages list them.
func Placeholders() []string {
	names := make([]string, 0, len(holders()))
	for _, h := range holders() {
		names = append(names, h.name)
	}
	return names
}
