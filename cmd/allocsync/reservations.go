package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"allocsync/report"
	"allocsync/sync/worker"
	"allocsync/webhook"
)

// reservationFlags are the flags of `allocsync reservations`.
type reservationFlags struct {
	source string
	desk   deskFlags
	format string
}

// deskText says in --help where reservations are made.
const deskText = `
Only one process may use the state folder, in which it is remembered what was
reserved. While serve runs, that is serve: ask it with --server, which needs no
configuration here, and the token serve.api_token in the file --token-file or in
ALLOCSYNC_API_TOKEN.
`

// exitText says in --help what the exit codes mean.
func exitText(done string) string {
	return fmt.Sprintf(`
Exit codes:
  0  %s
  1  nothing was done
  4  not finished: the source did not say what it did; the next pass finishes it`, done)
}

func (p *program) reservationsCommand() *cobra.Command {
	var f reservationFlags
	cmd := &cobra.Command{
		Use:   "reservations [ADDRESS]",
		Short: "List what is reserved at the sources",
		Long: `reservations lists what the sources hold, made here or by others, and what is
asked of them in NetBox and not held, with the reason. It reads every source that
has reserve: true, or the one of --source. It changes nothing.
` + deskText + `
Exit codes: 0 listed, 1 failed, 4 a source did not answer in full.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.reservations(cmd.Context(), f, strings.Join(args, ""))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.source, "source", "", "list this source only")
	f.desk.flags(flags)
	formatFlag(flags, &f.format)
	cmd.MarkFlagsMutuallyExclusive("server", "state-dir")
	p.completeSources(cmd)
	return cmd
}

func (p *program) reservations(ctx context.Context, f reservationFlags, address string) error {
	if err := checkFormat(f.format); err != nil {
		return err
	}
	if _, err := addressOf(address); err != nil {
		return err
	}
	d, leave, err := p.openDesk(f.desk)
	if err != nil {
		return err
	}
	defer leave()
	list, err := d.list(ctx, f.source, address)
	if err != nil {
		return p.undone(err)
	}
	if f.format == report.FormatJSON {
		err = p.writeJSON(list)
	} else {
		err = reservationTable(p.stdout, list.Reservations, p.presentation().Width)
	}
	if err != nil {
		return err
	}
	for _, u := range list.Unread {
		p.complain("allocsync: not listed: source " + u.Source + ": " + u.Error)
	}
	if len(list.Unread) > 0 {
		return exit{exitPartly}
	}
	return nil
}

// formatFlag adds --format of the commands that deal with reservations.
func formatFlag(flags *pflag.FlagSet, format *string) {
	flags.StringVar(format, "format", report.FormatTable, "format: "+strings.Join(reservationFormats(), ", "))
}

func reservationFormats() []string { return []string{report.FormatTable, report.FormatJSON} }

func checkFormat(format string) error {
	if !slices.Contains(reservationFormats(), format) {
		return fmt.Errorf("--format %q: want one of %s", format, strings.Join(reservationFormats(), ", "))
	}
	return nil
}

// undone gives an error the exit code that goes with it.
func (p *program) undone(err error) error {
	var problem *webhook.Problem
	if errors.Is(err, worker.ErrUnfinished) || errors.As(err, &problem) && problem.Unfinished {
		p.complain("allocsync: " + err.Error())
		return exit{exitPartly}
	}
	return err
}

// showOne writes what was done to one reservation.
func (p *program) showOne(format, title string, r webhook.Reservation) error {
	if format == report.FormatJSON {
		return p.writeJSON(r)
	}
	if _, err := fmt.Fprintln(p.stdout, report.Printable(title)); err != nil {
		return err
	}
	return reservationLines(p.stdout, r)
}

func (p *program) writeJSON(v any) error {
	e := json.NewEncoder(p.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// stateReleased is the state of what a source held until it was let go of.
const stateReleased = "released"

// documentOf is a reservation as commands and API write it.
func documentOf(r worker.Reservation) webhook.Reservation {
	d := webhook.Reservation{
		Source: r.Source, VRF: r.VRF, Network: string(r.Network), MAC: string(r.MAC), For: string(r.For), Name: r.Name,
		UsedBy: string(r.Ref), Type: r.Type, State: string(r.State), Reason: r.Reason, InUse: r.InUse, Row: r.Row,
	}
	if r.Addr.IsValid() {
		d.Address = netip.PrefixFrom(r.Addr, r.Mask).String()
	}
	return d
}

func documentsOf(list []worker.Reservation, addr netip.Addr) []webhook.Reservation {
	out := []webhook.Reservation{}
	for _, r := range list {
		if !addr.IsValid() || r.Addr == addr {
			out = append(out, documentOf(r))
		}
	}
	return out
}
