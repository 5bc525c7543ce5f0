package maas

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"

	"allocsync/ipam"
	"allocsync/sources"
)

// Check examines, in this order: whether MAAS answers, how the key is protected
// on the way, whose key it is, and whether everything can be read.
func (s *Source) Check(ctx context.Context) []sources.Finding {
	bounded, cancel := sources.Bounded(ctx, s.client.timeout)
	defer cancel()
	var v version
	if err := s.client.ask(bounded, reading("version/"), &v); err != nil {
		return []sources.Finding{bad("", err)}
	}
	findings := []sources.Finding{{OK: true, Text: fmt.Sprintf("MAAS %s answers at %s", line(v.Version), s.client.url)}}
	findings = append(findings, s.checkTransport()...)
	var user whoami
	if err := s.client.ask(bounded, reading("users/?op=whoami"), &user); err != nil {
		return append(findings, bad("API key", err))
	}
	if user.Admin {
		findings = append(findings, sources.Finding{OK: true, Text: fmt.Sprintf("the API key is of the administrator %s", line(user.Name))})
	} else {
		findings = append(findings, sources.Finding{
			Text: fmt.Sprintf("the API key is of %s, who is no administrator: nodes of others are hidden, and while any of them has an address, nothing of this source is deleted", line(user.Name)),
			Fix:  "set api_key to that of an administrator: 'maas apikey --username NAME' on the server prints it",
		})
	}
	return append(findings, s.checkSurvey(ctx)...)
}

// checkTransport says who could read the key on its way.
func (s *Source) checkTransport() []sources.Finding {
	u, err := url.Parse(s.options.URL)
	if err != nil {
		return nil // Open has refused it
	}
	if s.options.TLSSkipVerify {
		return []sources.Finding{{
			Text: "the server's certificate is not checked (tls_skip_verify): whoever answers in MAAS's place learns the API key",
			Fix:  "replace tls_skip_verify by ca_file, with the authority that signed MAAS's certificate",
		}}
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme != "http" || u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return []sources.Finding{{
		Text: "the API key goes over the network as plain text (http)",
		Fix:  "let MAAS serve TLS (maas config-tls enable) and set url to https://HOST:5443/MAAS",
	}}
}

// bad makes a finding of an error.
func bad(part string, err error) sources.Finding {
	return sources.BadFinding(part, err, "see that MAAS runs and that url is right, then check again")
}

// checkSurvey reads everything once.
func (s *Source) checkSurvey(ctx context.Context) []sources.Finding {
	survey, err := s.Survey(ctx)
	if err != nil {
		return []sources.Finding{bad("", err)}
	}
	var findings []sources.Finding
	for _, m := range survey.Missing {
		if _, hidden := errors.AsType[hiddenError](m.Err); hidden {
			findings = append(findings, sources.Finding{Text: m.Part + ": " + m.Err.Error(), Fix: "use the API key of an administrator, or read again"})
			continue
		}
		findings = append(findings, bad(m.Part, m.Err))
	}
	if len(survey.Allocations) == 0 {
		return append(findings, sources.Finding{
			Text: "MAAS has no subnet that this key may see",
			Fix:  "add subnets in MAAS, or use the API key of an administrator",
		})
	}
	prefixes := len(slices.DeleteFunc(slices.Clone(survey.Allocations), func(a ipam.Allocation) bool { return a.Kind != ipam.Prefix }))
	findings = append(findings, sources.Finding{OK: true, Text: fmt.Sprintf("it hands out %d prefixes and %d addresses; %d of these are reserved",
		prefixes, len(survey.Allocations)-prefixes, len(survey.Held))})
	how := "MACs are reserved as reserved IPs (MAAS 3.6 and later)"
	if d, ok := survey.Desk.(*desk); ok && !d.hasIPs && d.reservedErr == nil {
		how = "MACs are reserved by making devices (MAAS before 3.6)"
	}
	return append(findings, sources.Finding{OK: true, Text: how})
}
