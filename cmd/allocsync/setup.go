package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func (p *program) setupCommand() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Make the custom fields in NetBox that allocsync keeps its marks in",
		Long: `setup makes the custom fields used_by, sync_owner, sync_type, hwaddr, gone_since
and reserve_at in NetBox, in the group "Allocation sync". It may be run any
number of times; what is there already stays as it is.

Its token needs to view, add and change custom fields; that of sync does not.

Exit codes: 0 ready, 1 failed, 2 a dry run found something to make.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.setup(cmd.Context(), dryRun) },
	}
	cmd.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "say what would be made and write nothing")
	return cmd
}

func (p *program) setup(ctx context.Context, dryRun bool) error {
	s, err := p.load(p.configPath, nil)
	if err != nil {
		return err
	}
	steps, err := s.client.Setup(ctx, dryRun)
	missing := 0
	for _, step := range steps {
		fmt.Fprintf(p.stdout, "%-7s %-11s %s\n", step.Action, step.Field, step.Detail)
		if step.Action != "keep" {
			missing++
		}
	}
	switch {
	case err != nil:
		return err
	case missing == 0:
		fmt.Fprintln(p.stdout, "All custom fields are there.")
	case dryRun:
		fmt.Fprintln(p.stdout, "Nothing was written. To make them: allocsync setup")
		return exit{exitChanges}
	default:
		fmt.Fprintln(p.stdout, "Done. Next: allocsync check, then allocsync sync --dry-run")
	}
	return nil
}
