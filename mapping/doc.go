// Package mapping turns what sources state into the rows that NetBox should
// hold. Sources state facts and make no choices; the choices are the rules
// here. The package is pure: the same facts, in any order, give the same rows.
//
// # Rules
//
// Rules are read in order, and every rule whose match holds has a say. For
// each key of set, the last such rule decides; tags add up. So general rules
// come first and exceptions after them, and a later `skip: false` takes back
// an earlier `skip: true`. A later `status: ""` takes back an earlier status,
// and so on: the field is then not managed.
//
// A key that cannot apply to an allocation has no say in it: a dns_name on a
// prefix, the status dhcp on a prefix, the role vip on a prefix, the slug of an
// IPAM role on an address.
//
// # Without any rule
//
// Every allocation becomes a row of the global table, and nothing is set but
// what is always managed: address, mask, owner, user, type and MAC. A field
// that no rule sets is never compared and never overwritten. Two rules are built
// in and stand before all others, which can take back what they set:
//
//   - Allocations of type reservation have the status reserved, because that is
//     what the person who looks at them in NetBox needs to see.
//   - IPv6 link-local addresses and prefixes (fe80::/10) are skipped. They mean
//     something on their own link alone: the same address may stand on every one
//     of them, and in a VRF all but one would be a conflict. A later rule with
//     `skip: false` brings them back.
//
// # Masks
//
// An address is written with the length of the smallest prefix known to hold
// it within its VRF: of the prefixes that any source states and of those that
// NetBox holds already for a source that did not answer in full. Where none
// holds it, it keeps the length that its source wrote, /32 or /128 at worst.
// The default route is no such prefix: NetBox takes no address of length 0.
//
// # Inside addresses
//
// A floating address names the fixed address behind it, which rules may put into
// another VRF: it stands where the same user of the same source claims it. Where
// no rule lets it into NetBox, the floating address is written without it.
//
// # Ranks
//
// A source may state several facts about one address. All of them become
// claims; package plan gives the place to the one of the lowest rank:
//
//	rank | allocation
//	-----|-----------------------------------------------
//	0    | type network: the network itself, its gateway
//	1    | type network-load-balancer
//	2    | type network-forward
//	3    | every other type
//	4    | a lease (Dynamic), whatever its type
//
// What one user states several times about one address is one claim, that of
// the lowest rank.
package mapping
