package lxd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"allocsync/ipam"
	"allocsync/sources"
)

// reading is what one Snapshot has gathered so far.
type reading struct {
	client  *client
	options Options
	server  server
	survey  bool // what is held for others is read too

	projects []project // in scope, those that could not be read taken out
	roster   *roster   // nil unless the instances are needed
	unlisted bool      // the instances are needed, and some could not be read

	mu       sync.Mutex            // guards what follows while requests run side by side
	facts    []ipam.Allocation     // from the server's own list, or what stands for it
	derived  []ipam.Allocation     // from leases and devices, some of them in facts too
	hidden   []ipam.Allocation     // networks out of scope whose configuration is not shown
	networks map[networkID]network // the managed ones
	missing  []sources.Missing
	forwards []forward // of a Survey
	crowd    []string  // visible projects with instances on the default project's networks
}

// all reports whether every project is read, so that one list may cover all.
func (r *reading) all() bool { return len(r.options.Projects) == 0 }

func (r *reading) add(facts ...ipam.Allocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.facts = append(r.facts, facts...)
}

func (r *reading) addMissing(part string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.missing = append(r.missing, sources.Missing{Part: part, Err: err})
}

// addRow keeps a row, or says that it makes no sense: one bad row must not
// hide the others, and must not be taken to be gone.
func (r *reading) addRow(w row) {
	facts, err := w.allocations()
	if err != nil {
		r.addMissing(w.describe(), err)
		return
	}
	r.add(facts...)
}

// gaps returns what is missing, one entry for each part.
func (r *reading) gaps() []sources.Missing {
	slices.SortFunc(r.missing, func(a, b sources.Missing) int {
		return cmp.Or(cmp.Compare(a.Part, b.Part), cmp.Compare(a.Err.Error(), b.Err.Error()))
	})
	var gaps []sources.Missing
	for i := 0; i < len(r.missing); {
		first, more := r.missing[i], 0
		for i++; i < len(r.missing) && r.missing[i].Part == first.Part; i++ {
			more++
		}
		if more > 0 {
			first.Err = fmt.Errorf("%w (and %d more)", first.Err, more)
		}
		gaps = append(gaps, first)
	}
	return gaps
}

// readScope notes as missing what a restricted certificate hides: servers pass
// over the projects that it is not for without a word, so that a project taken
// off the certificate would look as if all its addresses were gone. Projects
// that are named are missed by name.
func (r *reading) readScope(ctx context.Context) error {
	if !r.all() || r.client.own == "" || !r.server.has(extCertificateScope) {
		return nil
	}
	var own certificate
	err := r.client.get(ctx, at("certificates", string(r.client.own)), nil, &own)
	switch {
	case notFound(err): // trusted in another way: signed by an authority that the server trusts
	case err != nil:
		r.addMissing("client certificate", err)
	case own.Restricted:
		r.addMissing("projects", scopeError{own.Projects})
	}
	return nil
}

// scopeError says that a certificate hides nobody knows what.
type scopeError struct{ projects []string }

func (e scopeError) Error() string {
	return fmt.Sprintf("%v: the client certificate is restricted, and what it hides cannot be told from what is gone; set projects: [%s]",
		sources.ErrDenied, strings.Join(slices.Sorted(slices.Values(e.projects)), ", "))
}

func (scopeError) Unwrap() error { return sources.ErrDenied }

// readProjects finds the projects in scope.
func (r *reading) readProjects(ctx context.Context) error {
	var visible []project
	if err := r.client.get(ctx, at("projects"), url.Values{"recursion": {"1"}}, &visible); err != nil {
		return err
	}
	for _, p := range visible {
		if p.shared() && p.instances() {
			r.crowd = append(r.crowd, p.Name)
		}
	}
	if r.all() {
		r.projects = visible
		return nil
	}
	for _, name := range r.options.Projects {
		i := slices.IndexFunc(visible, func(p project) bool { return p.Name == name })
		if i >= 0 {
			r.projects = append(r.projects, visible[i])
			continue
		}
		r.addMissing("project "+name, r.client.invisible(ctx, name))
	}
	if len(r.projects) == 0 {
		return r.nothing()
	}
	return nil
}

// invisible says why a project is not in the list of projects: it does not
// exist, or it is hidden from this certificate.
func (c *client) invisible(ctx context.Context, name string) error {
	var p project
	err := c.get(ctx, at("projects", name), nil, &p)
	switch {
	case err == nil:
		return fmt.Errorf("%w: project %q is not in the list of projects, yet it exists; read again", sources.ErrUnreachable, name)
	case notFound(err):
		return &sources.Failure{Doing: "read " + at("projects", name), Cause: errors.Unwrap(err), Advice: "correct or remove the name in projects"}
	}
	return err
}

// nothing is the error of a reading of which every part is missing.
func (r *reading) nothing() error {
	errs := make([]error, 0, len(r.missing))
	for _, m := range r.gaps() {
		errs = append(errs, fmt.Errorf("%s: %w", m.Part, m.Err))
	}
	return errors.Join(errs...)
}

// drop takes a project out of the scope because of an error.
func (r *reading) drop(name string, err error) {
	r.addMissing("project "+name, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.projects = slices.DeleteFunc(slices.Clone(r.projects), func(p project) bool { return p.Name == name })
}

// readLists reads the networks and, from the server's own list or from the
// lists that it is made of, the allocations of the projects with networks.
func (r *reading) readLists(ctx context.Context) error {
	if r.all() && r.server.has(extAllocations) {
		err := sources.Each(ctx, maxParallel, []func(context.Context) error{r.readNetworks, r.readAllocations},
			func(ctx context.Context, read func(context.Context) error) error { return read(ctx) })
		return err
	}
	if err := r.readNetworks(ctx); err != nil {
		return err
	}
	projects := r.projects
	err := sources.Each(ctx, maxParallel, projects, func(ctx context.Context, p project) error {
		if err := r.listReader(p)(ctx, p); err != nil {
			r.drop(p.Name, err)
		}
		return nil
	})
	if err == nil && len(r.projects) == 0 && len(r.missing) > 0 {
		return r.nothing()
	}
	return err
}

// listReader chooses how the allocations of one project are read.
func (r *reading) listReader(p project) func(context.Context, project) error {
	switch {
	case p.shared() && r.server.has(extAllocations) && r.configsHidden(p.owner()):
		return r.readHidden
	case p.shared():
		return func(context.Context, project) error { return nil }
	case r.server.has(extAllocations):
		return r.readProjectAllocations
	}
	return r.readProjectLists
}

// configsHidden reports whether a project's networks are known, and not one
// with its configuration: a restricted certificate is shown the networks that
// its projects use, but not how another project configured them (Incus 6.0.4).
func (r *reading) configsHidden(owner string) bool {
	hidden := false
	for id, n := range r.networks {
		if id.owner != owner {
			continue
		}
		if len(n.Config) > 0 {
			return false
		}
		hidden = true
	}
	return hidden
}

// readHidden reads whether the networks that a shared project uses have NAT,
// where their configuration is hidden: the list asked for such a project is
// that of the project that owns the networks. Nothing else of it is kept, as
// that project is not in scope.
func (r *reading) readHidden(ctx context.Context, p project) error {
	var rows []row
	if err := r.client.get(ctx, at("network-allocations"), url.Values{"project": {p.Name}}, &rows); err != nil {
		return err
	}
	for _, w := range rows {
		facts, err := w.allocations()
		if err != nil || w.Type != typeNetwork {
			continue
		}
		r.mu.Lock()
		r.hidden = append(r.hidden, facts...)
		r.mu.Unlock()
	}
	return nil
}

// readAllocations reads the list of all projects.
func (r *reading) readAllocations(ctx context.Context) error {
	var rows []row
	if err := r.client.get(ctx, at("network-allocations"), url.Values{"all-projects": {"true"}}, &rows); err != nil {
		return err
	}
	for _, w := range rows {
		r.addRow(w)
	}
	return nil
}

// readProjectAllocations reads the list of one project with networks.
func (r *reading) readProjectAllocations(ctx context.Context, p project) error {
	var rows []row
	if err := r.client.get(ctx, at("network-allocations"), url.Values{"project": {p.Name}}, &rows); err != nil {
		return err
	}
	for _, w := range rows {
		r.addRow(w)
	}
	return nil
}

// readNetworks reads the managed networks that the projects in scope use.
func (r *reading) readNetworks(ctx context.Context) error {
	if r.all() && r.server.has(extNetworksAll) {
		var list []network
		query := url.Values{"recursion": {"1"}, "all-projects": {"true"}}
		if err := r.client.get(ctx, at("networks"), query, &list); err != nil {
			return err
		}
		r.addNetworks(list, defaultProject)
		return nil
	}
	// A shared project shows the default project's networks. Asking it is only
	// needed where the default project is not in scope.
	inScope := slices.ContainsFunc(r.projects, func(p project) bool { return p.Name == defaultProject })
	projects := r.projects
	err := sources.Each(ctx, maxParallel, projects, func(ctx context.Context, p project) error {
		if p.shared() && inScope {
			return nil
		}
		var list []network
		query := url.Values{"recursion": {"1"}, "project": {p.Name}}
		if err := r.client.get(ctx, at("networks"), query, &list); err != nil {
			r.drop(p.Name, err)
			return nil
		}
		r.addNetworks(list, p.owner())
		return nil
	})
	if err == nil && len(r.projects) == 0 && len(r.missing) > 0 {
		return r.nothing()
	}
	return err
}

// addNetworks keeps the managed networks of a list. Servers without the
// extension networks_all_projects do not write whose they are.
func (r *reading) addNetworks(list []network, owner string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range list {
		if !n.Managed {
			continue
		}
		if n.Project == "" {
			n.Project = owner
		}
		id := networkID{n.Project, n.Name}
		if had, ok := r.networks[id]; !ok || len(had.Config) == 0 {
			r.networks[id] = n
		}
	}
}
