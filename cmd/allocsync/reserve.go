package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"allocsync/ipam"
	"allocsync/sync/worker"
	"allocsync/webhook"
)

// reserveFlags are the flags of `allocsync reserve`.
type reserveFlags struct {
	wanted webhook.ReservationRequest
	node   string
	desk   deskFlags
	format string
}

func (p *program) reserveCommand() *cobra.Command {
	var f reserveFlags
	cmd := &cobra.Command{
		Use:   "reserve --source NAME --network NETWORK",
		Short: "Have a source hold an address",
		Long: `reserve has a source hold an address, and makes the row in NetBox that asks for
it, as a person would: status reserved, with reserve_at. Without --address the
source chooses one, or NetBox where it does not.

  --for or --node      an address of that node or instance; --mac or
                       --nic picks the interface
  --mac alone          an address that the source serves to that MAC by DHCP
  neither              an address that the source keeps out of use

It is done once, however often it is asked for with the same --address. Where the
source refuses, the row is taken away again.
` + deskText + exitText("reserved, or held already"),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.reserve(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.wanted.Source, "source", "", "source that is to hold the address")
	flags.StringVar(&f.wanted.Network, "network", "", "network of it: a CIDR, a name, an ID or a URI; may be left out where --address is in only one")
	flags.StringVar(&f.wanted.Address, "address", "", "address to hold")
	flags.StringVar(&f.wanted.MAC, "mac", "", "MAC that it is for")
	flags.StringVar(&f.wanted.NIC, "nic", "", "name of the node's interface, in place of its MAC")
	flags.StringVar(&f.wanted.For, "for", "", "URI of the node or instance that it is for")
	flags.StringVar(&f.node, "node", "", "name or ID of the node or instance that it is for")
	flags.StringVar(&f.wanted.Name, "user", "", "host name, or who it is for in words")
	f.desk.flags(flags)
	formatFlag(flags, &f.format)
	cmd.MarkFlagsMutuallyExclusive("for", "node")
	cmd.MarkFlagsMutuallyExclusive("mac", "nic")
	cmd.MarkFlagsMutuallyExclusive("server", "state-dir")
	p.completeSources(cmd)
	return cmd
}

func (p *program) reserve(ctx context.Context, f reserveFlags) error {
	if err := checkFormat(f.format); err != nil {
		return err
	}
	switch {
	case f.wanted.Source == "":
		return errors.New("--source is missing: name the source that is to hold the address")
	case f.wanted.Network == "" && f.wanted.Address == "":
		return errors.New("--network is missing: name a network of the source by CIDR, name, ID or URI")
	case f.wanted.For != "" && !strings.Contains(f.wanted.For, "/"):
		return fmt.Errorf("--for %q: is no URI; --node takes names and IDs", f.wanted.For)
	}
	if f.node != "" {
		f.wanted.For = f.node
	}
	if _, err := requestOf(f.wanted); err != nil {
		return fmt.Errorf("--%w", err)
	}
	d, leave, err := p.openDesk(f.desk)
	if err != nil {
		return err
	}
	defer leave()
	made, fresh, err := d.reserve(ctx, f.wanted)
	if err != nil {
		return p.undone(err)
	}
	title := "Reserved " + made.Address
	if !fresh {
		title = made.Address + " is " + made.State + " already"
	}
	return p.showOne(f.format, title, made)
}

// requestOf checks a request as far as that goes without asking anybody. Its
// errors begin with the key that is wrong.
func requestOf(wanted webhook.ReservationRequest) (worker.Request, error) {
	r := worker.Request{Source: wanted.Source, Network: wanted.Network, For: wanted.For, NIC: wanted.NIC, Name: wanted.Name}
	var err error
	if r.Addr, err = addressOf(wanted.Address); err != nil {
		return worker.Request{}, err
	}
	if r.MAC, err = ipam.ParseMAC(wanted.MAC); err != nil {
		return worker.Request{}, fmt.Errorf("mac: %w", err)
	}
	switch {
	case r.NIC != "" && r.MAC != "":
		return worker.Request{}, fmt.Errorf("nic %q: and a MAC; name one of them", r.NIC)
	case r.NIC != "" && r.For == "":
		return worker.Request{}, fmt.Errorf("nic %q: of which node? name that too", r.NIC)
	case r.For == "":
		return r, nil
	}
	if _, err := ipam.ParseUsedBy(r.For); err != nil {
		return worker.Request{}, fmt.Errorf("for: %w", err)
	}
	return r, nil
}

// addressOf reads an address, with the length of its network or without; the
// zero one of "".
func addressOf(text string) (netip.Addr, error) {
	if text == "" {
		return netip.Addr{}, nil
	}
	bare, length, with := strings.Cut(text, "/")
	addr, err := netip.ParseAddr(bare)
	if err == nil && with {
		_, err = netip.ParsePrefix(bare + "/" + length)
	}
	if err != nil || addr.Zone() != "" || addr.Is4In6() {
		return netip.Addr{}, fmt.Errorf("address %q: want one such as 10.0.0.5 or 2001:db8::5", text)
	}
	return addr, nil
}
