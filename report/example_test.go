package report_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"allocsync/ipam"
	"allocsync/report"
	"allocsync/sync/apply"
	"allocsync/sync/plan"
)

const (
	lxd  = "prod/lxd"
	maas = "prod/maas"
	kvm  = "prod/libvirt"
	old  = "prod/old-cluster"
)

var then = time.Date(2025, 11, 21, 13, 5, 7, 0, time.UTC)

func record(owner, vrf string, kind ipam.Kind, cidr, usedBy, typ string) ipam.Record {
	p := netip.MustParsePrefix(cidr)
	r := ipam.Record{Owner: owner, Place: ipam.PlaceOf(vrf, kind, p), Attrs: ipam.Attrs{UsedBy: ipam.UsedBy(usedBy), Type: typ}}
	if kind == ipam.Address {
		r.Attrs.Mask = p.Bits()
	}
	return r
}

func stored(id int, r ipam.Record) ipam.Stored {
	return ipam.Stored{ID: id, LastUpdated: then.Add(-48 * time.Hour), Record: r}
}

// examplePlan holds one of everything: every action, every reason to hold, an
// empty source, one that did not answer in full and one that did not at all.
func examplePlan() plan.Plan {
	web := record(lxd, "", ipam.Address, "10.1.2.30/24", "/1.0/instances/web-1?project=shop", "instance")
	web.Attrs.MAC, web.Attrs.Status, web.Attrs.DNSName = "00:16:3e:04:f0:95", "active", "web-1.shop.example.org"
	web6 := record(lxd, "", ipam.Address, "fd42:3cce:990:a1fd:216:3eff:fe04:f095/64", "/1.0/instances/web-1?project=shop", "instance")
	web6.Attrs.MAC, web6.Attrs.Status = "00:16:3e:04:f0:95", "active"
	net := record(lxd, "", ipam.Prefix, "10.1.9.0/24", "/1.0/networks/ovn-blue?project=shop", "network")
	net.Attrs.Status, net.Attrs.Tags = "container", "lxd,ovn"

	db := record(lxd, "blue", ipam.Address, "10.1.2.40/24", "/1.0/instances/db-1?project=shop", "instance")
	db.Attrs.MAC, db.Attrs.Status, db.Attrs.DNSName = "00:16:3e:aa:00:01", "active", "db-old.shop.example.org"
	moved := db
	moved.Place = ipam.PlaceOf("blue", ipam.Address, netip.MustParsePrefix("10.1.2.41/24"))
	moved.Attrs.DNSName, moved.Attrs.Status = "db-1.shop.example.org", "active"
	lb := record(maas, "", ipam.Address, "10.1.2.60/24", "/MAAS/api/2.0/machines/xk3f9q/", "fixed")
	taken := lb
	taken.Owner, taken.Attrs.UsedBy, taken.Attrs.Type = lxd, "/1.0/network-load-balancers/lb-1?network=ovn-blue", "network-load-balancer"

	gone := record(lxd, "", ipam.Address, "10.1.2.99/24", "/1.0/instances/old-1", "instance")
	gone.Attrs.Status, gone.Attrs.Description = "active", "left over from the migration"
	rack := record(maas, "", ipam.Address, "10.1.2.71/24", "/MAAS/api/2.0/machines/cc22dd/", "fixed")
	rack.Attrs.DNSName = "rack-8.example.org"
	vip := record(maas, "", ipam.Address, "10.1.2.72/24", "/MAAS/api/2.0/ipaddresses/?ip=10.1.2.72", "reservation")
	vip.Attrs.Status = "reserved"

	printer := record("", "", ipam.Address, "10.1.2.50/24", "", "")
	printer.Attrs.Status, printer.Attrs.Description, printer.Attrs.DNSName = "active", "Printer, 2nd floor", "printer.example.org"
	want := record(lxd, "", ipam.Address, "10.1.2.50/24", "/1.0/instances/scan-1", "instance")
	twice := record(lxd, "", ipam.Address, "10.1.2.51/24", "/1.0/networks/ovn-blue/forwards/10.1.2.51?project=shop", "network-forward")
	guest := record(kvm, "", ipam.Address, "192.168.122.17/24", "qemu:///system?domain=ci-runner-3", "lease")
	ghost := record(old, "", ipam.Address, "10.9.0.7/24", "/1.0/instances/legacy", "instance")
	policy := record(maas, "", ipam.Address, "10.1.2.70/24", "/MAAS/api/2.0/machines/aa11bb/", "fixed")
	renamed := policy
	renamed.Attrs.DNSName = "rack-7.example.org"

	return plan.Plan{
		Sources: []plan.Summary{
			{Owner: lxd, Claims: 128, Rows: 124, InStep: 119, Waiting: 2, Create: 3, Update: 2, Delete: 1, Held: 2},
			{Owner: maas, Claims: 0, Rows: 4, Delete: 2, Held: 1},
			{Owner: kvm, Missing: []string{"host kvm-3: dial tcp 10.0.0.3:16514: connect: no route to host"}, Claims: 33, Rows: 34, InStep: 33, Held: 1},
			{Owner: "prod/edge", Missing: []string{"no answer"}, Rows: 8},
		},
		Changes: []plan.Change{
			{Action: plan.Create, Reason: plan.New, Owner: lxd, After: net},
			{Action: plan.Create, Reason: plan.New, Owner: lxd, After: web},
			{Action: plan.Create, Reason: plan.New, Owner: lxd, After: web6},
			{Action: plan.Update, Reason: plan.Handover, Owner: lxd, Before: stored(61, lb), After: taken},
			{Action: plan.Update, Reason: plan.Renumbered, Owner: lxd, Before: stored(41, db), After: moved},
			{Action: plan.Delete, Reason: plan.NowGone, Owner: maas, Before: stored(71, rack)},
			{Action: plan.Delete, Reason: plan.NowGone, Owner: maas, Before: stored(72, vip)},
			{Action: plan.Delete, Reason: plan.NowGone, Owner: lxd, Before: stored(99, gone)},
		},
		Held: []plan.Held{
			{Reason: plan.UnknownOwner, Change: plan.Change{Action: plan.Delete, Reason: plan.NowGone, Owner: old, Before: stored(7, ghost)}, Row: stored(7, ghost), Note: old + " is not configured here"},
			{Reason: plan.Unmanaged, Change: plan.Change{Action: plan.Create, Reason: plan.New, Owner: lxd, After: want}, Row: stored(50, printer)},
			{Reason: plan.Contested, Change: plan.Change{Action: plan.Create, Reason: plan.New, Owner: lxd, After: twice}, Note: "kept for /1.0/instances/web-2?project=shop of prod/lxd"},
			{Reason: plan.NotAllowed, Change: plan.Change{Action: plan.Update, Reason: plan.Changed, Owner: maas, Before: stored(70, policy), After: renamed}, Row: stored(70, policy), Note: "policy of prod/maas does not allow update"},
			{Reason: plan.Incomplete, Change: plan.Change{Action: plan.Delete, Reason: plan.NowGone, Owner: kvm, Before: stored(17, guest)}, Row: stored(17, guest), Note: "host kvm-3: dial tcp 10.0.0.3:16514: connect: no route to host"},
		},
	}
}

// dryRun is the report of a dry run with one of everything.
func dryRun() report.Report {
	return report.Report{
		Installation: "prod",
		NetBox:       report.NetBox{URL: "https://netbox.example.org", Version: "4.7.3"},
		Started:      then, Took: 1234 * time.Millisecond, DryRun: true,
		Plan: examplePlan(), Digest: "9f2c1b7a4d3e8860",
		Exceeded:    []report.Exceeded{{Owner: maas, Text: "the source lists nothing any more, and all of its 4 rows would be removed"}},
		Unreachable: []report.Problem{{Owner: "prod/edge", Text: "read routes: dial tcp 10.0.0.9:50051: i/o timeout: source cannot be reached"}},
		Problems:    []report.Problem{{Owner: kvm, Text: "address 169.254.1.1/16, used by qemu:///system?domain=t1: rule 2 (tenants): set.vrf: {project} comes out empty"}},
		Usage:       report.UsageOf(exampleAllocations()),
		Requests:    report.Requests{Sent: 9, Read: 181},
	}
}

// applied is the same pass carried out, with one of every outcome.
func applied() report.Report {
	r := dryRun()
	r.DryRun = false
	r.Requests = report.Requests{Sent: 17, Read: 193, Written: 3}
	// Nothing of prod/maas was approved, nor what takes a row away from it.
	approved := slices.DeleteFunc(slices.Clone(r.Plan.Changes), func(c plan.Change) bool { return c.Owner == maas || c.Before.Owner == maas })
	r.Result = &apply.Result{Err: errors.New("update 50 addresses: PATCH /api/ipam/ip-addresses/: 503 Service Unavailable, four times")}
	for i, o := range []apply.Outcome{
		{Status: apply.Done, ID: 211},
		{Status: apply.Done, ID: 212},
		{Status: apply.Refused, Detail: `{"address": ["Duplicate IP address found in global table: fd42:3cce:990:a1fd:216:3eff:fe04:f095/64"]}`},
		{Status: apply.Kept, ID: 41, Detail: "changed by somebody at 2025-11-21 13:05:06 UTC, after it was read"},
		{Status: apply.Skipped, ID: 99},
	} {
		o.Change = approved[i]
		r.Result.Outcomes = append(r.Result.Outcomes, o)
	}
	return r
}

// inStep is a pass that had nothing to do.
func inStep() report.Report {
	return report.Report{
		Installation: "prod", NetBox: report.NetBox{URL: "https://netbox.example.org", Version: "4.7.3"}, Started: then, Took: 840 * time.Millisecond,
		Plan: plan.Plan{Sources: []plan.Summary{{Owner: lxd, Claims: 124, Rows: 124, InStep: 124}}},
	}
}

func exampleAllocations() []report.Allocation {
	var list []report.Allocation
	add := func(source, network, typ string, kind ipam.Kind, cidr, usedBy string, nat bool) {
		list = append(list, report.Allocation{Source: source, Allocation: ipam.Allocation{
			UsedBy: ipam.UsedBy(usedBy), Kind: kind, Prefix: netip.MustParsePrefix(cidr), Type: typ, Network: network, NAT: nat,
		}})
	}
	add(lxd, "lxdbr0", "network", ipam.Address, "10.1.2.1/24", "/1.0/networks/lxdbr0", true)
	add(lxd, "lxdbr0", "network", ipam.Address, "fd42:3cce:990:a1fd::1/64", "/1.0/networks/lxdbr0", true)
	for i := range 180 {
		user := fmt.Sprintf("/1.0/instances/web-%d?project=shop", i+1)
		add(lxd, "lxdbr0", "instance", ipam.Address, fmt.Sprintf("10.1.2.%d/32", i+2), user, true)
		if i%3 == 0 {
			add(lxd, "lxdbr0", "instance", ipam.Address, fmt.Sprintf("fd42:3cce:990:a1fd::%x/128", i+2), user, true)
		}
	}
	add(lxd, "ovn-blue", "network", ipam.Address, "10.1.9.1/26", "/1.0/networks/ovn-blue?project=shop", false)
	for i := range 9 {
		add(lxd, "ovn-blue", "network-forward", ipam.Address, fmt.Sprintf("10.1.9.%d/32", i+2), fmt.Sprintf("/1.0/networks/ovn-blue/forwards/10.1.9.%d", i+2), false)
	}
	for i := range 5 {
		add(lxd, "ovn-blue", "network-load-balancer", ipam.Address, fmt.Sprintf("10.1.9.%d/32", i+20), fmt.Sprintf("/1.0/networks/ovn-blue/load-balancers/10.1.9.%d", i+20), false)
	}
	add(kvm, "default", "network", ipam.Address, "192.168.122.1/24", "qemu:///system?network=default", true)
	for i := range 33 {
		add(kvm, "default", "lease", ipam.Address, fmt.Sprintf("192.168.122.%d/24", i+2), fmt.Sprintf("qemu:///system?domain=ci-runner-%d", i), true)
	}
	add(kvm, "", "lease", ipam.Address, "172.16.0.9/32", "qemu:///system?domain=odd", false)
	return list
}

// many is a report of n changes, half of them updates.
func many(n int) report.Report {
	r := dryRun()
	r.Plan.Changes = make([]plan.Change, 0, n)
	for i := range n {
		after := record(lxd, "", ipam.Address, fmt.Sprintf("10.%d.%d.%d/24", i>>16&255, i>>8&255, i&255), fmt.Sprintf("/1.0/instances/machine-%d?project=shop", i), "instance")
		after.Attrs.Status, after.Attrs.DNSName = "active", fmt.Sprintf("machine-%d.shop.example.org", i)
		c := plan.Change{Action: plan.Create, Reason: plan.New, Owner: lxd, After: after}
		if i >= n/2 {
			before := after
			before.Attrs.DNSName = strings.Replace(after.Attrs.DNSName, "machine", "host", 1)
			c.Action, c.Reason, c.Before = plan.Update, plan.Changed, stored(i+1, before)
		}
		r.Plan.Changes = append(r.Plan.Changes, c)
	}
	r.Plan.Sources[0].Create, r.Plan.Sources[0].Update = n/2, n-n/2
	return r
}
