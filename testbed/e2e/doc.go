// Package e2e holds the end-to-end tests of allocsync: each runs the built
// program, as a user does, against a real NetBox, a real Incus and real libvirt
// daemons.
//
//	testbed/all start
//	eval "$(testbed/all env)"
//	go test ./testbed/e2e
//
// Without the servers the tests skip, unless MUST_RUN names netbox, incus or
// libvirt.
//
// Every test works in a VRF, an installation and Incus networks of its own, so
// that other tests may use the same servers at the same time. Those of libvirt
// stop and freeze its daemons, and so take turns. What cannot be
// done without disturbing others (settings of the whole NetBox, its custom
// fields) is done to a second NetBox with a database of its own, which the
// tests start and throw away. What Incus cannot be made to do at will (to list
// nothing, to swap addresses at once, to break in the middle) is done by a
// small server that speaks its wire format; what goes wrong between the program
// and NetBox is done by a proxy in front of the real NetBox. `allocsync serve`
// runs as a process of its own too: it is told things by signals, over HTTP and
// by the servers' own events and webhooks, and asked by its log and its pages.
package e2e
