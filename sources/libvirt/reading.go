package libvirt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	golibvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sync/errgroup"

	"allocsync/sources"
)

// reading is one reading of all hosts.
type reading struct {
	options Options
	hosts   []*hostReading    // in the order of the configuration
	missing []sources.Missing // what concerns no one host
}

// hostReading is what was read on one host so far.
type hostReading struct {
	endpoint   endpoint
	connection *connection // nil before connecting
	host       host
	seen       map[golibvirt.UUID]bool   // domains whose XML was read here, or noted as missing
	vanished   map[golibvirt.UUID]string // domains that were listed, and gone when their XML was asked for; their names
	err        error                     // the host could not be read

	mu      sync.Mutex // guards all of this while domains are read
	missing []sources.Missing
}

func newReading(list []endpoint, o Options) *reading {
	r := &reading{options: o}
	for _, e := range list {
		r.hosts = append(r.hosts, &hostReading{
			endpoint: e, host: host{endpoint: e, label: e.label}, seen: map[golibvirt.UUID]bool{}, vanished: map[golibvirt.UUID]string{},
		})
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
// lost; what concerns one domain is noted as missing. An error ends the context of
// the other calls, which costs them nothing more: they have no connection.
func (h *hostReading) readDomains(ctx context.Context, list []golibvirt.Domain) error {
	return sources.Each(ctx, maxInFlight, list, h.readDomain)
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
		h.vanished[d.UUID] = d.Name
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
		case err != nil && h.connection.lost():
			return err
		case err != nil: // also one that is gone: it may be made anew at this moment
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
	if err != nil {
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
// made later has it.
//
// A domain that was listed, and gone when its XML was asked for, may have been
// deleted, or moved, or be about to be defined again, as Nova does to reboot it.
// If the second lists have it neither, it is missing: the next pass knows.
func (r *reading) followMoves(ctx context.Context) {
	if len(r.hosts) > 1 || len(r.hosts[0].vanished) > 0 {
		r.listAgain(ctx)
	}
	known := r.known()
	for _, h := range r.hosts {
		for id, name := range h.vanished {
			if !known[id] {
				h.host.partial = true
				h.note("domain "+name, errVanished)
			}
		}
	}
}

// errVanished is why a domain that was listed is missing.
var errVanished = errors.New("it was listed, and gone when it was to be read: it is being deleted, moved or rebooted, which the next pass will know")

// known holds the domains that were read on some host.
func (r *reading) known() map[golibvirt.UUID]bool {
	known := map[golibvirt.UUID]bool{}
	for _, h := range r.hosts {
		for id := range h.seen {
			known[id] = true
		}
	}
	return known
}

// listAgain lists all hosts, and reads the domains that are not known. Where
// the time is over, what was read stands, but is not all.
func (r *reading) listAgain(ctx context.Context) {
	if ctx.Err() != nil {
		r.missing = append(r.missing, sources.Missing{Part: "domains that moved", Err: fmt.Errorf("they were not looked for: %w", noAnswer(r.options.Timeout))})
		return
	}
	known := r.known()
	r.each(func(h *hostReading) {
		list, err := h.connection.domains(ctx)
		if err == nil {
			list = slices.DeleteFunc(list, func(d golibvirt.Domain) bool { return known[d.UUID] })
			err = h.readDomains(ctx, list)
		}
		switch {
		case err == nil:
		case ctx.Err() != nil:
			h.note("domains that moved", fmt.Errorf("they were not looked for: %w", err))
		default:
			h.err = fmt.Errorf("list domains once more: %w", err)
		}
	})
}

// checkNames notes hosts that have one name: two URIs that lead to one daemon
// leave another one unread, and what cannot be told apart cannot be all.
func (r *reading) checkNames() {
	first := map[string]*hostReading{}
	for _, h := range r.hosts {
		if h.err != nil {
			continue
		}
		if other, twice := first[h.host.name]; twice {
			r.missing = append(r.missing, sources.Missing{Part: "host " + h.host.label, Err: fmt.Errorf(
				"it says that its name is %q, as %s does: if both URIs lead to one host, see where they should lead, or remove one; if they are two hosts, give each a name of its own", short(h.host.name), other.host.label)})
			continue
		}
		first[h.host.name] = h
	}
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
