package libvirt

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	golibvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sync/errgroup"

	"allocsync/sources"
)

// maxRounds is how often all hosts are listed to find a domain that moves while
// they are read. Each round finds it unless it moved again meanwhile.
const maxRounds = 4

// reading is one reading of all hosts.
type reading struct {
	options Options
	hosts   []*hostReading // in the order of the configuration
	missing []sources.Missing
}

// hostReading is what was read on one host so far.
type hostReading struct {
	endpoint   endpoint
	connection *connection // nil before connecting
	host       host
	seen       map[golibvirt.UUID]bool // domains whose XML was read here, or noted as missing
	vanished   bool                    // a domain was listed, and gone when its XML was asked for
	err        error                   // the host could not be read

	mu      sync.Mutex // guards what follows, host.domains and seen
	missing []sources.Missing
}

func newReading(list []endpoint, o Options) *reading {
	r := &reading{options: o}
	for _, e := range list {
		r.hosts = append(r.hosts, &hostReading{endpoint: e, host: host{label: e.label}, seen: map[golibvirt.UUID]bool{}})
	}
	return r
}

func (r *reading) close() {
	for _, h := range r.hosts {
		if h.connection != nil {
			h.connection.close()
		}
	}
}

// readHosts reads every host, so many at once as the options say.
func (r *reading) readHosts(ctx context.Context) {
	r.each(func(h *hostReading) { h.err = h.read(ctx, r.options) })
}

// each does something with every host that has not failed.
func (r *reading) each(do func(*hostReading)) {
	var group errgroup.Group
	group.SetLimit(r.options.HostsAtOnce)
	for _, h := range r.hosts {
		if h.err == nil {
			group.Go(func() error { do(h); return nil })
		}
	}
	_ = group.Wait() // none of them returns an error
}

// read reads all of one host.
func (h *hostReading) read(ctx context.Context, o Options) error {
	var err error
	if h.connection, err = connect(ctx, h.endpoint, o); err != nil {
		return err
	}
	if h.host.name, err = h.connection.hostname(ctx); err != nil {
		return err
	}
	list, err := h.connection.domains(ctx)
	if err != nil {
		return err
	}
	if err := h.readDomains(ctx, list); err != nil {
		return err
	}
	if !o.Networks {
		return nil
	}
	return h.readNetworks(ctx)
}

// readDomains reads the XML of some domains. It fails where the connection is
// lost; what concerns one domain is noted as missing.
func (h *hostReading) readDomains(ctx context.Context, list []golibvirt.Domain) error {
	var group errgroup.Group
	group.SetLimit(maxInFlight)
	for _, d := range list {
		group.Go(func() error { return h.readDomain(ctx, d) })
	}
	return group.Wait()
}

func (h *hostReading) readDomain(ctx context.Context, d golibvirt.Domain) error {
	text, err := h.connection.domainXML(ctx, d)
	if err == nil {
		var parsed domain
		if parsed, err = parseDomain(text); err == nil {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.seen[d.UUID] = true
			h.host.domains = append(h.host.domains, listed{domain: parsed, active: d.ID >= 0})
			return nil
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case gone(err):
		h.vanished = true
		return nil
	case h.connection.lost():
		return err
	}
	h.seen[d.UUID] = true
	h.host.partial = true
	h.note("domain "+d.Name, err)
	return nil
}

func (h *hostReading) readNetworks(ctx context.Context) error {
	list, err := h.connection.networks(ctx)
	if err != nil {
		if h.connection.lost() {
			return err
		}
		h.host.unknownNetworks = true
		h.note("networks", err)
		return nil
	}
	for _, n := range list {
		state, err := h.readNetwork(ctx, n)
		switch {
		case gone(err):
		case err != nil && h.connection.lost():
			return err
		case err != nil:
			h.host.unknownNetworks = true
			h.note("network "+n.Name, err)
		default:
			h.host.networks = append(h.host.networks, state)
		}
	}
	return nil
}

// readNetwork reads one network. Where its leases cannot be read the rest of
// it is kept.
func (h *hostReading) readNetwork(ctx context.Context, n golibvirt.Network) (networkState, error) {
	text, err := h.connection.networkXML(ctx, n)
	if err != nil {
		return networkState{}, err
	}
	var state networkState
	if state.network, err = parseNetwork(text); err != nil {
		return networkState{}, err
	}
	list, err := h.connection.leases(ctx, n)
	if err != nil && !gone(err) {
		if h.connection.lost() {
			return networkState{}, err
		}
		h.note("leases of network "+n.Name, err)
	}
	for _, l := range list {
		state.leases = append(state.leases, leaseOf(l))
	}
	return state, nil
}

// leaseOf takes what is needed of a lease.
func leaseOf(l golibvirt.NetworkDhcpLease) lease {
	return lease{address: l.Ipaddr, mac: optional(l.Mac), clientID: optional(l.Clientid), hostname: optional(l.Hostname)}
}

// optional is the text of what XDR calls an optional string: a list of at most
// one element.
func optional(s golibvirt.OptString) string { return strings.Join(s, "") }

// note notes that a part of the host could not be read.
func (h *hostReading) note(part string, err error) {
	h.missing = append(h.missing, sources.Missing{Part: part + " on " + h.host.label, Err: err})
}

// followMoves lists the domains of all hosts once more, and reads those that no
// list had before: a domain that went from host A to host B after B and before
// A was listed is in neither list, and would be taken for deleted. While
// libvirt migrates a domain it is on both hosts, so that a list of all hosts
// made later has it. The same goes for a domain that was gone when its XML was
// asked for: it may be back, as Nova undefines and defines one to reboot it.
func (r *reading) followMoves(ctx context.Context) {
	if len(r.hosts) == 1 && !r.hosts[0].vanished {
		return
	}
	for range maxRounds {
		if !r.listAgain(ctx) {
			return
		}
	}
	r.missing = append(r.missing, sources.Missing{
		Part: "domains that move",
		Err:  fmt.Errorf("domains were still moving between hosts after these were listed %d times; the next pass reads them", maxRounds+1),
	})
}

// listAgain reports whether there was a domain that is to be looked for once
// more: one that was on no host when it was read.
func (r *reading) listAgain(ctx context.Context) bool {
	known := map[golibvirt.UUID]bool{}
	for _, h := range r.hosts {
		for id := range h.seen {
			known[id] = true
		}
		h.vanished = false
	}
	r.each(func(h *hostReading) {
		list, err := h.connection.domains(ctx)
		if err == nil {
			list = slices.DeleteFunc(list, func(d golibvirt.Domain) bool { return known[d.UUID] })
			err = h.readDomains(ctx, list)
		}
		if err != nil {
			h.err = fmt.Errorf("list domains once more: %w", err)
		}
	})
	return slices.ContainsFunc(r.hosts, func(h *hostReading) bool { return h.vanished })
}

// facts is what was read, of the hosts that could be read to the end.
func (r *reading) facts() []host {
	var list []host
	for _, h := range r.hosts {
		if h.err == nil {
			list = append(list, h.host)
		}
	}
	return list
}

// gaps lists what could not be read, in the order of the hosts.
func (r *reading) gaps() []sources.Missing {
	var list []sources.Missing
	for _, h := range r.hosts {
		if h.err != nil {
			list = append(list, sources.Missing{Part: "host " + h.endpoint.label, Err: h.err})
		}
	}
	return append(list, r.partGaps()...)
}

// partGaps lists what could not be read of the hosts that were read.
func (r *reading) partGaps() []sources.Missing {
	var list []sources.Missing
	for _, h := range r.hosts {
		if h.err == nil {
			slices.SortFunc(h.missing, func(a, b sources.Missing) int { return strings.Compare(a.Part, b.Part) })
			list = append(list, h.missing...)
		}
	}
	return append(list, r.missing...)
}

// failure is why nothing was read at all, nil where one host was read.
func (r *reading) failure() error {
	errs := make(hostErrors, 0, len(r.hosts))
	for _, h := range r.hosts {
		if h.err == nil {
			return nil
		}
		errs = append(errs, h.err)
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errs
}

// hostErrors is why no host could be read.
type hostErrors []error

// toldErrors is how many of them a message holds; check tells them all.
const toldErrors = 3

func (e hostErrors) Error() string {
	texts := make([]string, 0, toldErrors)
	for _, err := range e[:min(len(e), toldErrors)] {
		texts = append(texts, err.Error())
	}
	text := fmt.Sprintf("none of the %d hosts can be read: %s", len(e), strings.Join(texts, "; "))
	if extra := len(e) - toldErrors; extra > 0 {
		text += fmt.Sprintf("; and %d more", extra)
	}
	return text
}

func (e hostErrors) Unwrap() []error { return e }
