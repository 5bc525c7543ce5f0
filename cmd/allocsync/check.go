package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"allocsync/report"
	"allocsync/sources"
	"allocsync/sync/worker"
)

func (p *program) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Examine configuration, NetBox and sources, and say how to mend what is wrong",
		Long: `check reads the configuration and tries everything that it names against the
living systems: that they can be reached, their versions, the custom fields, what
the token may do, the names that rules use, and every source. It changes nothing.

Exit codes: 0 all is well, 1 something has to be mended.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.check(cmd.Context()) },
	}
}

func (p *program) check(ctx context.Context) error {
	s, err := p.load(p.configPath, nil)
	if err != nil {
		return err
	}
	defer s.openLedger("")()
	findings := []report.Finding{{
		Section: "Configuration", OK: true,
		Text: fmt.Sprintf("%s: installation %s, sources: %s", p.configPath, s.config.Installation, strings.Join(names(s.config), ", ")),
	}}
	for _, f := range s.client.Check(ctx, s.config.Installation) {
		findings = append(findings, report.Finding{Section: "NetBox", OK: f.OK, Text: f.Text, Fix: f.Fix})
	}
	for _, source := range s.sources {
		findings = append(findings, checkSource(ctx, source)...)
	}
	findings = append(findings, s.checkLedger()...)
	findings = append(findings, s.checkNames(ctx)...)
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := report.Findings(p.stdout, findings, p.presentation()); err != nil {
		return err
	}
	for _, f := range findings {
		if !f.OK {
			return exit{exitFailed}
		}
	}
	return nil
}

func checkSource(ctx context.Context, s worker.Source) []report.Finding {
	section := "Source " + s.Name
	checker, ok := s.Source.(sources.Checker)
	if !ok {
		return nil
	}
	var findings []report.Finding
	for _, f := range checker.Check(ctx) {
		findings = append(findings, report.Finding{Section: section, OK: f.OK, Text: f.Text, Fix: f.Fix})
	}
	return findings
}

// checkNames makes a plan, to see whether the rules' names exist in NetBox and
// whether a pass would get to its end.
func (s *setting) checkNames(ctx context.Context) []report.Finding {
	const section = "Dry run"
	proposal, err := s.pass(nil, nil).Plan(ctx)
	switch {
	case errors.Is(err, worker.ErrNoSource):
		return []report.Finding{{Section: section, Text: "not tried: no source answered", Fix: "mend the sources first"}}
	case err != nil:
		return []report.Finding{{Section: section, Text: err.Error(), Fix: "mend what this says; names come from the rules"}}
	}
	var findings []report.Finding
	for _, problem := range proposal.Mapped.Problems {
		findings = append(findings, report.Finding{Section: section, Text: problem.String(), Fix: "make what NetBox lacks, or change the rule that it names"})
	}
	for _, text := range proposal.Misdirections() {
		findings = append(findings, report.Finding{Section: section, Text: text, Fix: "set the row's reserve_at to one of the sources, or clear it"})
	}
	return append(findings, report.Finding{
		Section: section, OK: true,
		Text: fmt.Sprintf("%d changes and %d held rows; see: allocsync sync --dry-run", len(proposal.Plan.Changes), len(proposal.Plan.Held)),
	})
}
