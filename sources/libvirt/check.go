package libvirt

import (
	"context"
	"fmt"
	"strings"

	"allocsync/ipam"
	"allocsync/sources"
)

// Check examines each host, in the order of the configuration: whether it can
// be read, what it is, and whether its identity is checked. Then it says what
// the hosts hand out together, and what of it could not be read.
func (s *Source) Check(ctx context.Context) []sources.Finding {
	ctx, cancel := sources.Bounded(ctx, s.options.Timeout)
	defer cancel()
	r := newReading(s.endpoints, s.options)
	defer r.close()
	r.readHosts(ctx)
	var findings []sources.Finding
	for _, h := range r.hosts {
		findings = append(findings, h.findings(ctx)...)
	}
	if r.failure() != nil {
		return findings
	}
	r.followMoves(ctx)
	r.checkNames()
	list, gaps := allocations(r.facts(), s.choices())
	for _, m := range append(r.partGaps(), gaps...) {
		findings = append(findings, bad(m.Part, m.Err))
	}
	return append(findings, s.summary(list), unlisted(r.facts()))
}

// bad makes a finding of an error.
func bad(part string, err error) sources.Finding {
	return sources.BadFinding(part, err, "see the log of libvirt on the host, then check again")
}

// findings is what is to be said of one host that was, or was not, read.
func (h *hostReading) findings(ctx context.Context) []sources.Finding {
	var version string
	if h.err == nil {
		version, h.err = h.connection.version(ctx)
	}
	if h.err != nil {
		return []sources.Finding{bad("", h.err)}
	}
	findings := []sources.Finding{{OK: true, Text: fmt.Sprintf("%s (%s) answers, libvirt %s, opened read-only: %s and %s",
		h.endpoint.label, h.host.name, version, count(len(h.host.domains), "domain"), count(len(h.host.networks), "network"))}}
	if h.endpoint.noVerify {
		findings = append(findings, sources.Finding{
			Text: h.endpoint.label + ": the host's certificate or key is not checked (tls_skip_verify, no_verify=1 or known_hosts_verify=ignore)",
			Fix:  "set ca_file (tls) or ssh_known_hosts_file (ssh), and take that out",
		})
	}
	return findings
}

// summary says what all hosts hand out, and complains where that is nothing.
func (s *Source) summary(list []ipam.Allocation) sources.Finding {
	if len(list) == 0 {
		return sources.Finding{
			Text: "the hosts hand nothing out: no domain has Nova's metadata with ports, and no network has an address",
			Fix:  "see that uris names the right hosts, and that the driver in them is the one that the machines run under: virsh -c URI list --all",
		}
	}
	types, order := map[string]int{}, []string{}
	for _, a := range list {
		if types[a.Type] == 0 {
			order = append(order, a.Type)
		}
		types[a.Type]++
	}
	parts := make([]string, 0, len(order))
	for _, t := range order {
		parts = append(parts, fmt.Sprintf("%d %s", types[t], t))
	}
	return sources.Finding{OK: true, Text: "they hand out " + strings.Join(parts, ", ")}
}

// unlisted counts the domains of Nova whose addresses are not known, each once
// on however many hosts it is.
func unlisted(hosts []host) sources.Finding {
	novas, without := 0, 0
	for _, d := range choose(hosts) {
		if d.instance != nil {
			novas++
			if !d.instance.listed {
				without++
			}
		}
	}
	switch {
	case novas == 0:
		return sources.Finding{OK: true, Text: "no domain has metadata of Nova's"}
	case without == 0:
		return sources.Finding{OK: true, Text: fmt.Sprintf("Nova lists the ports of all of its %s", count(novas, "domain"))}
	}
	// Not a fault: such servers have no rows, which is what they had before.
	return sources.Finding{OK: true, Text: fmt.Sprintf(
		"of %s of Nova's, %d have metadata without ports, whose addresses are not known: Nova writes them since 23.0.0 (Wallaby), when a server is started, moved, or gets or loses a port", count(novas, "domain"), without)}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
