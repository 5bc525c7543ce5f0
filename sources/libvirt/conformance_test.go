package libvirt_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	libvirtd "allocsync/fixtures/libvirt"
	"allocsync/sources"
	"allocsync/sources/libvirt"
	"allocsync/sources/sourcetest"
)

func TestConformance(t *testing.T) {
	for _, names := range [][]string{
		{"nova"}, {"written-spec-example"}, {"nova", "plain"}, {"written-spec-example", "written-namespaces"},
	} {
		t.Run(strings.Join(names, "+"), func(t *testing.T) {
			t.Parallel()
			var worlds []libvirtd.World
			for _, name := range names {
				worlds = append(worlds, mustScenario(t, name)...)
				worlds[len(worlds)-1].Hostname = name
			}
			sourcetest.Run(t, setup(t, worlds))
		})
	}
}

func mustScenario(tb testing.TB, name string) []libvirtd.World {
	tb.Helper()
	worlds, err := libvirtd.Scenario(name)
	require.NoError(tb, err)
	return worlds
}

// setup serves hosts that misbehave as the suite says. Answers are counted
// over all hosts.
func setup(tb testing.TB, worlds []libvirtd.World) sourcetest.Setup {
	tb.Helper()
	open := func(tb testing.TB, b sourcetest.Behaviour) (sources.Source, *atomic.Int64) {
		tb.Helper()
		hosts := slices.Clone(worlds)
		if b.Fault == sourcetest.Empty {
			for i := range hosts {
				hosts[i] = libvirtd.World{Hostname: hosts[i].Hostname}
			}
		}
		answers := new(atomic.Int64)
		var servers []*libvirtd.Server
		source := mustOpen(tb, hosts, func(s *libvirtd.Server) {
			servers = append(servers, s)
			s.SetFaults(libvirtd.Faults{Answer: func(libvirtd.Call) libvirtd.Behaviour {
				if at := answers.Add(1) - 1; b.At == sourcetest.Every || int64(b.At) == at {
					return behaviour(b)
				}
				return libvirtd.Behaviour{}
			}})
		}, func(o *libvirt.Options) {
			o.Timeout, o.CallTimeout, o.MaxBytes = b.Patience, b.Patience, sourcetest.MaxBytes
		})
		tb.Cleanup(func() {
			for _, s := range servers {
				for _, c := range s.Record().Connections {
					require.True(tb, !c.Opened || c.Flags&1 == 1, "a connection was opened that may write")
				}
			}
		})
		return source, answers
	}
	source, answers := open(tb, sourcetest.Behaviour{At: sourcetest.Every, Patience: time.Minute})
	snapshot, err := source.Snapshot(tb.Context())
	require.NoError(tb, err)
	require.True(tb, snapshot.Complete(), "%v", snapshot.Missing)
	return sourcetest.Setup{
		Answers: int(answers.Load()),
		Open: func(tb testing.TB, b sourcetest.Behaviour) sources.Source {
			tb.Helper()
			source, _ := open(tb, b)
			return source
		},
	}
}

func behaviour(b sourcetest.Behaviour) libvirtd.Behaviour {
	switch b.Fault {
	case sourcetest.Shuffled:
		return libvirtd.Behaviour{Fault: libvirtd.Shuffled, Seed: b.Seed}
	case sourcetest.Denied:
		return libvirtd.Behaviour{Fault: libvirtd.Failing, Error: libvirtd.Error{Code: 88, Text: "access denied"}}
	case sourcetest.Failing:
		return libvirtd.Behaviour{Fault: libvirtd.Failing, Error: libvirtd.Error{Code: libvirtd.CodeInternal, Text: "internal error"}}
	case sourcetest.Garbled:
		return libvirtd.Behaviour{Fault: libvirtd.Garbled}
	case sourcetest.CutOff:
		return libvirtd.Behaviour{Fault: libvirtd.CutOff}
	case sourcetest.Dropped:
		return libvirtd.Behaviour{Fault: libvirtd.Dropped}
	case sourcetest.Endless:
		return libvirtd.Behaviour{Fault: libvirtd.Endless}
	case sourcetest.Hanging:
		return libvirtd.Behaviour{Fault: libvirtd.Hanging}
	}
	return libvirtd.Behaviour{}
}

// mustOpen starts a daemon for each world, lets arrange see it, and opens a
// source of all of them.
func mustOpen(tb testing.TB, worlds []libvirtd.World, arrange func(*libvirtd.Server), change ...func(*libvirt.Options)) sources.Source {
	tb.Helper()
	o := *libvirt.Factory().Options().(*libvirt.Options)
	o.URIs = nil
	for _, w := range worlds {
		server, socket := libvirtd.Start(tb, w)
		if arrange != nil {
			arrange(server)
		}
		o.URIs = append(o.URIs, "qemu:///system?socket="+socket)
	}
	for _, c := range change {
		c(&o)
	}
	source, err := libvirt.Open(o)
	require.NoError(tb, err)
	return source
}
