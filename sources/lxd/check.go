package lxd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"allocsync/ipam"
	"allocsync/sources"
)

// Check examines, in this order: whether the server answers, how its
// certificate is checked, whether it trusts this client, what the client
// certificate may see, whether the server lists allocations itself, and
// whether everything can be read.
func (s *Source) Check(ctx context.Context) []sources.Finding {
	ctx, cancel := sources.Bounded(ctx, s.options.Timeout)
	defer cancel()
	about, err := s.client.server(ctx)
	if err != nil {
		return []sources.Finding{bad("", err)}
	}
	findings := []sources.Finding{{OK: true, Text: fmt.Sprintf("%s answers at %s and trusts this client", about.title(), s.client.url)}}
	if s.options.TLSSkipVerify {
		findings = append(findings, sources.Finding{
			Text: "the server's certificate is not checked (tls_skip_verify)",
			Fix:  "make sure that the server's fingerprint is " + about.Environment.Fingerprint + " (incus info), then replace tls_skip_verify by server_fingerprint: " + about.Environment.Fingerprint,
		})
	}
	if about.has(extAllocations) {
		findings = append(findings, sources.Finding{OK: true, Text: "it lists allocations itself (API extension network_allocations)"})
	} else {
		findings = append(findings, sources.Finding{OK: true, Text: "it lacks the API extension network_allocations (LXD before 5.16): networks, leases, forwards and load balancers are read instead, which is as complete and takes more requests"})
	}
	if s.client.own != "" && about.has(extCertificateScope) {
		findings = append(findings, s.checkCertificate(ctx)...)
	}
	return append(findings, s.checkSnapshot(ctx)...)
}

// bad makes a finding of an error.
func bad(part string, err error) sources.Finding {
	return sources.BadFinding(part, err, "see that the server runs and that url is right, then check again")
}

// checkCertificate says what the server lets this client see.
func (s *Source) checkCertificate(ctx context.Context) []sources.Finding {
	var own certificate
	if err := s.client.get(ctx, at("certificates", string(s.client.own)), nil, &own); err != nil {
		if notFound(err) {
			return nil // trusted in another way: signed by an authority that the server trusts
		}
		return []sources.Finding{bad("client certificate", err)}
	}
	name := fmt.Sprintf("the client certificate (%s in the server's trust list)", own.Name)
	if !own.Restricted {
		return []sources.Finding{{OK: true, Text: name + " sees every project"}}
	}
	slices.Sort(own.Projects)
	list := "[" + strings.Join(own.Projects, ", ") + "]"
	if len(s.options.Projects) > 0 {
		return []sources.Finding{{OK: true, Text: name + " is restricted to the projects " + list}}
	}
	return []sources.Finding{{
		Text: name + " is restricted to the projects " + list + ", but projects names none: what it hides cannot be told from what is gone, so nothing of this source is ever deleted",
		Fix:  "set projects: " + list,
	}}
}

// checkSnapshot reads everything once.
func (s *Source) checkSnapshot(ctx context.Context) []sources.Finding {
	snapshot, err := s.Snapshot(ctx)
	if err != nil {
		return []sources.Finding{bad("", err)}
	}
	var findings []sources.Finding
	for _, m := range snapshot.Missing {
		if _, told := errors.AsType[scopeError](m.Err); !told { // by checkCertificate
			findings = append(findings, bad(m.Part, m.Err))
		}
	}
	if len(snapshot.Allocations) == 0 {
		return append(findings, sources.Finding{
			Text: "the server hands nothing out, as far as this client may see",
			Fix:  "if it has managed networks, let the certificate see their projects: incus config trust edit FINGERPRINT (LXD: lxc config trust edit)",
		})
	}
	prefixes, projects := 0, []string{}
	for _, a := range snapshot.Allocations {
		if a.Kind == ipam.Prefix {
			prefixes++
		}
		projects = append(projects, a.Project)
	}
	slices.Sort(projects)
	projects = slices.Compact(projects)
	return append(findings, sources.Finding{OK: true, Text: fmt.Sprintf("it hands out %d prefixes and %d addresses in the projects %s",
		prefixes, len(snapshot.Allocations)-prefixes, strings.Join(projects, ", "))})
}
