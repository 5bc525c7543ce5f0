package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"allocsync/sources"
	"allocsync/sync/worker"
)

// plannedTicks is a schedule and the sources that it is for.
type plannedTicks struct {
	schedule worker.Schedule
	sources  []string // empty means all
}

func (t plannedTicks) trigger() worker.Trigger {
	return worker.Trigger{Kind: worker.KindSchedule, Detail: t.schedule.String(), Sources: t.sources}
}

// ticksOf makes the schedules of a configuration: one for each source that has
// its own, and one for all the others.
func ticksOf(s *setting) ([]plannedTicks, error) {
	var list []plannedTicks
	var others []string
	zone := s.config.Serve.TimeZone
	for i, source := range s.config.Sources {
		if source.Schedule == "" {
			others = append(others, source.Name)
			continue
		}
		schedule, err := worker.ParseSchedule(source.Schedule, zone)
		if err != nil {
			return nil, s.config.Problem(fmt.Sprintf("sources[%d].schedule", i), err.Error())
		}
		list = append(list, plannedTicks{schedule, []string{source.Name}})
	}
	if s.config.Serve.Schedule == "" || len(others) == 0 {
		return list, nil
	}
	schedule, err := worker.ParseSchedule(s.config.Serve.Schedule, zone)
	if err != nil {
		return nil, s.config.Problem("serve.schedule", err.Error())
	}
	if len(list) == 0 {
		others = nil // all: one pass, whose plan spans all of them
	}
	return append(list, plannedTicks{schedule, others}), nil
}

// scheduleOf is the schedule that a source is for; the zero one never ticks.
func (g *generation) scheduleOf(source string) worker.Schedule {
	for _, t := range g.schedules {
		if len(t.sources) == 0 || slices.Contains(t.sources, source) {
			return t.schedule
		}
	}
	return worker.Schedule{}
}

// watchSources has every source that can do so tell of its changes.
func (s *service) watchSources(ctx context.Context, g *generation) {
	for _, source := range g.sources {
		watcher, ok := source.Source.(sources.Watcher)
		if !ok {
			continue
		}
		g.running.Go(func() {
			err := watcher.Watch(ctx, func() {
				s.loop.Want(worker.Trigger{Kind: worker.KindEvent, Detail: source.Name + ": something changed", Sources: []string{source.Name}})
			}, func(err error) { s.listening(source, err) })
			if err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
				s.log.Error().Err(err).Str("source", source.Name).Msg("the source cannot be watched; its schedule remains")
				s.notice("watch "+source.Name, fmt.Sprintf("%s cannot be watched: %v. Its schedule remains.", source.Name, err))
			}
		})
	}
}

// listening takes note of whether a source tells of its changes now.
func (s *service) listening(source worker.Source, err error) {
	s.metrics.Watcher(source.Name, err == nil)
	if err != nil {
		s.log.Warn().Err(err).Str("source", source.Name).Msg("the source does not tell of its changes; its schedule remains")
	} else {
		s.log.Info().Str("source", source.Name).Msg("the source tells of its changes")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.board.source(source.Owner); one != nil {
		one.watch, one.deaf = "connected", err != nil
		if err != nil {
			one.watch = "reconnecting: " + err.Error()
		}
	}
	s.cached = nil
}

// loopback reports whether an address to listen on is reached from this
// machine only.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
