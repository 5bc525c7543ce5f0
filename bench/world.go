package main

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"allocsync/config"
	"allocsync/fixtures"
	"allocsync/ipam"
	"allocsync/mapping"
	"allocsync/netbox"
	"allocsync/sources/lxd"
	"allocsync/sync/apply"
	"allocsync/sync/plan"
	"allocsync/sync/worker"
)

// rows is a list of n allocations: a network and its instances.
func rows(n int) []fixtures.Row {
	list := []fixtures.Row{{Addresses: "10.0.0.1/8", UsedBy: "/1.0/networks/br0", Type: "network"}}
	for i := 2; len(list) < n-1; i++ { // a network makes two rows
		list = append(list, fixtures.Row{
			Addresses: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String() + "/32",
			UsedBy:    fmt.Sprintf("/1.0/instances/i%d?project=bench", i), Type: "instance",
			MAC: fmt.Sprintf("00:16:3e:%02x:%02x:%02x", i>>16&255, i>>8&255, i&255),
		})
	}
	return list
}

// lxdServer is a served list of allocations.
type lxdServer struct {
	fixtures.List
	url   string
	close func()
}

func serveLXD() (*lxdServer, error) {
	folder, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	s := &lxdServer{url: "unix://" + filepath.Join(folder, "s")}
	listener, err := net.Listen("unix", filepath.Join(folder, "s"))
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: &s.List, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }() // ends when closed
	s.close = func() {
		_ = server.Close()
		_ = os.RemoveAll(folder)
	}
	return s, nil
}

// openPass wires a pass as the program does: LXD over its socket, one rule, one
// NetBox.
func openPass(netboxURL, token, lxdURL, vrf string) (*worker.Pass, *netbox.Client, error) {
	client, err := netbox.Open(netbox.Options{URL: netboxURL, Token: netbox.Token(token)})
	if err != nil {
		return nil, nil, err
	}
	factory := lxd.Factory()
	text := settingsOf(netboxURL, token, lxdURL)
	noEnv := func(string) (string, bool) { return "", false }
	var rules []mapping.Rule
	c, err := config.Parse("bench", []byte(text), noEnv, map[string]func() any{factory.Kind: factory.Options}, &rules)
	if err != nil {
		return nil, nil, err
	}
	source, err := factory.Open(c.Sources[0].Options)
	if err != nil {
		return nil, nil, err
	}
	if vrf != "" {
		rules = []mapping.Rule{{Set: mapping.Set{VRF: &vrf}}}
	}
	compiled, err := mapping.Compile(rules)
	if err != nil {
		return nil, nil, err
	}
	return &worker.Pass{
		NetBox: client, Mapping: compiled, Limits: plan.DefaultLimits(), Apply: apply.Options{Batch: batch},
		Sources: []worker.Source{{Name: "lxd", Owner: owner(vrf), Source: source, Allow: plan.AllowAll()}},
	}, client, nil
}

// settingsOf is the configuration file of these three.
func settingsOf(netboxURL, token, lxdURL string) string {
	return fmt.Sprintf("installation: bench\nnetbox: {url: %q, token: %q}\nsources: [{name: lxd, kind: lxd, options: {url: %q}}]\n", netboxURL, token, lxdURL)
}

// batch is how many rows a bulk request carries here, in the program and in
// the floor alike.
const batch = 50

func owner(vrf string) string { return "bench/lxd" + vrf }

// claims and stored are the same n rows, wanted and held.
func claimsAndStored(n int) ([]ipam.Claim, []ipam.Stored) {
	claims := make([]ipam.Claim, n)
	stored := make([]ipam.Stored, n)
	for i := range n {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		record := ipam.Record{
			Owner: "bench/lxd",
			Place: ipam.PlaceOf("", ipam.Address, ipam.HostPrefix(addr)),
			Attrs: ipam.Attrs{Mask: 8, UsedBy: ipam.UsedBy(fmt.Sprintf("/1.0/instances/i%d", i)), Type: "instance"},
		}
		claims[i] = ipam.Claim{Record: record}
		stored[n-1-i] = ipam.Stored{ID: i + 1, Record: record}
	}
	return claims, stored
}
