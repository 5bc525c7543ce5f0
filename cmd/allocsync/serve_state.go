package main

import (
	"fmt"
	"net/netip"
	"time"

	"allocsync/ipam"
	"allocsync/report"
	"allocsync/state"
	"allocsync/sync/worker"
)

// openState opens the state folder, if there is to be one.
func (s *service) openState(dir string) error {
	if dir == "" {
		return nil
	}
	store, err := state.Open(dir)
	if err != nil {
		return err
	}
	s.store = store
	s.metrics.State(true)
	for i, text := range store.Notices() {
		s.log.Warn().Msg(text)
		s.notice(fmt.Sprintf("state %d", i), text)
	}
	return nil
}

func (s *service) closeState() {
	if err := s.store.Close(); err != nil {
		s.log.Error().Err(err).Msg("the state folder could not be closed in order")
	}
}

// stateFault says that something could not be remembered. Passes go on: what
// NetBox should hold does not depend on it.
func (s *service) stateFault(err error) {
	s.log.Error().Err(err).Msg("the history of passes cannot be kept")
	s.metrics.State(false)
	s.notice("state", "The history of passes cannot be kept: "+err.Error())
}

// recall puts on the board what is remembered from before.
func (s *service) recall() {
	passes, err := s.store.Passes(boardPasses)
	if err != nil {
		s.stateFault(err)
	}
	pending, err := s.store.Pending()
	if err != nil {
		s.stateFault(err)
	}
	said, err := s.store.Said()
	if err != nil {
		s.stateFault(err)
	}
	s.mu.Lock()
	s.board.passes, s.board.pending = passes, pending
	s.board.dropPending()
	for i := range s.board.sources {
		one := &s.board.sources[i]
		one.remember(passes)
		for _, x := range said {
			if x.Source == one.name {
				one.allocations = allocationsFrom(x)
			}
		}
		if !one.success.IsZero() {
			s.metrics.Succeeded(one.name, one.success)
		}
	}
	all := s.board.allocations()
	s.mu.Unlock()
	s.count(all)
}

// remember takes from the history what the page says of a source. It has not
// been asked yet by this process all the same.
func (s *boardSource) remember(passes []state.Pass) {
	for _, p := range passes { // the newest first
		for _, said := range p.Sources {
			if said.Owner != s.owner {
				continue
			}
			if s.success.IsZero() && succeeded(said) && p.Outcome != string(worker.Failed) && p.Outcome != string(worker.OverLimits) {
				s.success = p.End
			}
			if s.when.IsZero() && said.Created+said.Updated+said.Deleted > 0 {
				s.changed, s.when = said, p.End
			}
		}
	}
}

// keepState forgets what is remembered of sources that are gone.
func (s *service) keepState(names []string) {
	if err := s.store.KeepSources(names); err != nil {
		s.stateFault(err)
	}
}

// savePass remembers what a pass found.
func (s *service) savePass(o worker.Outcome, pending []state.Pending, said []state.Said) {
	err := s.store.SetPending(pending)
	for _, x := range said {
		if err == nil {
			err = s.store.SetSaid(x)
		}
	}
	if err == nil && o.Proposal != nil {
		err = s.store.AddSamples(s.samples(o.Ended))
	}
	if err != nil {
		s.stateFault(err)
		return
	}
	if s.store != nil {
		s.metrics.State(true)
		if s.store.Notice() == "" {
			s.notice("state", "")
		}
	}
}

// allocationsOf is what the sources of a pass said, to be remembered.
func (s *service) allocationsOf(o worker.Outcome) []state.Said {
	if o.Proposal == nil || s.store == nil {
		return nil
	}
	var list []state.Said
	for _, reading := range o.Proposal.Readings {
		if reading.Err != nil {
			continue
		}
		said := state.Said{Source: reading.Source.Name, At: o.Ended, Complete: reading.Snapshot.Complete()}
		for _, a := range reading.Snapshot.Allocations {
			said.Allocations = append(said.Allocations, state.Allocation{
				UsedBy: string(a.UsedBy), Kind: a.Kind.String(), Address: a.Prefix.String(), Type: a.Type, Network: a.Network,
				Project: a.Project, Name: a.Name, MAC: string(a.MAC), Inside: addressText(a.Inside), NextHop: addressText(a.NextHop),
				Dynamic: a.Dynamic, NAT: a.NAT,
			})
		}
		list = append(list, said)
	}
	return list
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// allocationsFrom is the way back.
func allocationsFrom(said state.Said) []report.Allocation {
	list := make([]report.Allocation, 0, len(said.Allocations))
	for _, a := range said.Allocations {
		prefix, err := netip.ParsePrefix(a.Address)
		if err != nil {
			continue // only shown, until the source is asked again
		}
		kind := ipam.Address
		if a.Kind == ipam.Prefix.String() {
			kind = ipam.Prefix
		}
		inside, _ := netip.ParseAddr(a.Inside)
		hop, _ := netip.ParseAddr(a.NextHop)
		list = append(list, report.Allocation{Source: said.Source, Allocation: ipam.Allocation{
			UsedBy: ipam.UsedBy(a.UsedBy), Kind: kind, Prefix: prefix, Type: a.Type, Network: a.Network, Project: a.Project,
			Name: a.Name, MAC: ipam.MAC(a.MAC), NAT: a.NAT, Dynamic: a.Dynamic, Inside: inside, NextHop: hop,
		}})
	}
	return list
}

// samples is what is in use now, for its history.
func (s *service) samples(at time.Time) map[string]state.Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := map[string]state.Sample{}
	for _, u := range s.board.networks {
		n, _ := u.Capacity()
		list[networkSeries(u)] = state.Sample{At: at, Used: float64(u.Used), Capacity: float64(n)}
	}
	for name, used := range usedByType(s.board.counts) {
		list[typeSeries(name)] = state.Sample{At: at, Used: float64(used)}
	}
	return list
}

// The names of the series that are kept.
func networkSeries(u report.Utilisation) string {
	return "network " + u.Source + " " + u.Network + " " + u.Prefix.String()
}

func typeSeries(name string) string { return "type " + name }

func usedByType(counts []report.Count) map[string]int {
	used := map[string]int{}
	for _, c := range counts {
		used[c.Type] += c.IPv4 + c.IPv6
	}
	return used
}
