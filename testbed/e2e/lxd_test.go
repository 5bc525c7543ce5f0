package e2e_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeLXD speaks as much of LXD's wire format as the program reads, and lists
// what it is told to. It is for what no real server does at will.
type fakeLXD struct {
	socket string

	mu        sync.Mutex
	list      []allocation
	halfBlind bool // a project's leases cannot be read
	web       *http.Server
}

// allocation is an element of GET /1.0/network-allocations.
type allocation struct {
	Addresses string `json:"addresses"`
	UsedBy    string `json:"used_by"`
	Type      string `json:"type"`
	MAC       string `json:"hwaddr"`
	NAT       bool   `json:"nat"`
}

func newLXD(t *testing.T, list ...allocation) *fakeLXD {
	t.Helper()
	l := &fakeLXD{socket: filepath.Join(mustFolder(t), "unix.socket"), list: list}
	l.rise(t)
	t.Cleanup(l.die)
	return l
}

// die makes the server unreachable.
func (l *fakeLXD) die() { _ = l.web.Close() }

// rise makes it reachable (again).
func (l *fakeLXD) rise(t *testing.T) {
	t.Helper()
	_ = os.Remove(l.socket)
	listener, err := net.Listen("unix", l.socket)
	require.NoError(t, err)
	l.web = &http.Server{Handler: http.HandlerFunc(l.answer)}
	go func(web *http.Server) { _ = web.Serve(listener) }(l.web)
}

// lists sets what the server hands out.
func (l *fakeLXD) lists(list ...allocation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = list
}

func (l *fakeLXD) setHalfBlind(v bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.halfBlind = v
}

func (l *fakeLXD) answer(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch path := r.URL.Path; {
	case path == "/1.0":
		reply(w, object{
			"auth": "trusted", "api_extensions": []string{"network_allocations", "networks_all_projects", "instance_all_projects"},
			"environment": object{"server": "lxd", "server_name": "fake", "server_version": "5.21.2"},
		})
	case path == "/1.0/projects":
		projects := []object{{"name": "default", "config": object{"features.networks": "true"}, "used_by": []string{}}}
		if l.halfBlind {
			projects = append(projects, object{
				"name": "shared", "config": object{"features.networks": "false"}, "used_by": []string{"/1.0/instances/hidden?project=shared"},
			})
		}
		reply(w, projects)
	case path == "/1.0/networks":
		reply(w, l.networks())
	case path == "/1.0/network-allocations":
		reply(w, append([]allocation{}, l.list...))
	case path == "/1.0/instances":
		reply(w, []object{{"name": "hidden", "project": "shared", "expanded_devices": object{"eth0": object{"type": "nic", "network": "br0"}}}})
	case strings.HasSuffix(path, "/leases") && l.halfBlind:
		w.WriteHeader(http.StatusInternalServerError)
		_ = json.NewEncoder(w).Encode(object{"type": "error", "error_code": 500, "error": "the lease file cannot be read"})
	case strings.HasSuffix(path, "/leases"):
		reply(w, []object{})
	default:
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(object{"type": "error", "error_code": 404, "error": "not found"})
	}
}

// networks are those that the list of allocations names.
func (l *fakeLXD) networks() []object {
	networks := []object{}
	for _, a := range l.list {
		if a.Type == "network" {
			networks = append(networks, object{
				"name": strings.TrimPrefix(a.UsedBy, "/1.0/networks/"), "type": "bridge", "managed": true, "project": "default",
				"config": object{"ipv4.address": a.Addresses, "ipv4.nat": "false"},
			})
		}
	}
	return networks
}

func reply(w http.ResponseWriter, metadata any) {
	_ = json.NewEncoder(w).Encode(object{"type": "sync", "status": "Success", "status_code": 200, "metadata": metadata})
}

// br0 is a network that holds what instance makes.
func br0() allocation {
	return allocation{Addresses: "10.81.0.1/16", UsedBy: "/1.0/networks/br0", Type: "network"}
}

// instance is an address of an instance; the MAC follows from its name.
func instance(name, address string) allocation {
	sum := 0
	for _, c := range name {
		sum = sum*31 + int(c)
	}
	return allocation{
		Addresses: address + "/32", UsedBy: "/1.0/instances/" + name, Type: "instance",
		MAC: fmt.Sprintf("00:16:3e:%02x:%02x:%02x", sum>>16&255, sum>>8&255, sum&255),
	}
}

// instances are n of them, i1 at 10.81.3.1 and so on.
func instances(n int) []allocation {
	list := make([]allocation, n)
	for i := range list {
		list[i] = instance(fmt.Sprintf("i%d", i+1), fmt.Sprintf("10.81.%d.%d", 3+i/200, 1+i%200))
	}
	return list
}
