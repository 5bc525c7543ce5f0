package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"allocsync/sync/worker"
)

// releaseFlags are the flags of `allocsync release`.
type releaseFlags struct {
	source string
	desk   deskFlags
	format string
}

func (p *program) releaseCommand() *cobra.Command {
	var f releaseFlags
	cmd := &cobra.Command{
		Use:   "release --source NAME ADDRESS",
		Short: "Have a source let go of an address",
		Long: `release ends a reservation that was made by allocsync: at the source, and then
the row in NetBox that asked for it. What others made at the source stays there,
and only the row goes.
` + deskText + exitText("released"),
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return p.release(cmd.Context(), f, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.source, "source", "", "source that holds the address")
	f.desk.flags(flags)
	formatFlag(flags, &f.format)
	cmd.MarkFlagsMutuallyExclusive("server", "state-dir")
	p.completeSources(cmd)
	return cmd
}

func (p *program) release(ctx context.Context, f releaseFlags, address string) error {
	if err := checkFormat(f.format); err != nil {
		return err
	}
	if f.source == "" {
		return errors.New("--source is missing: name the source that holds the address")
	}
	if addr, err := addressOf(address); err != nil || !addr.IsValid() {
		return fmt.Errorf("address %q: want one such as 10.0.0.5 or 2001:db8::5", address)
	}
	d, leave, err := p.openDesk(f.desk)
	if err != nil {
		return err
	}
	defer leave()
	gone, err := d.release(ctx, f.source, address)
	if err != nil {
		return p.undone(err)
	}
	title := "Released " + gone.Address
	if gone.State == string(worker.Foreign) {
		title = gone.Address + " is not asked for any more; it was made by others at the source, and stays there"
	}
	return p.showOne(f.format, title, gone)
}
