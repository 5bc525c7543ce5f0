package libvirt_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	libvirtd "allocsync/fixtures/libvirt"
	"allocsync/sources"
	"allocsync/sources/libvirt"
)

// findings writes what Check found, a line for each.
func findings(t *testing.T, source sources.Source) string {
	t.Helper()
	var b strings.Builder
	for _, f := range source.(sources.Checker).Check(t.Context()) {
		if f.OK {
			b.WriteString("ok   " + f.Text + "\n")
			continue
		}
		require.NotEmpty(t, f.Fix, f.Text)
		b.WriteString("FAIL " + f.Text + " | " + f.Fix + "\n")
	}
	return b.String()
}

func TestCheckSaysWhatIsThere(t *testing.T) {
	source := mustOpen(t, append(mustScenario(t, "nova"), mustScenario(t, "plain")...), nil)
	text := findings(t, source)
	require.NotContains(t, text, "FAIL")
	require.Contains(t, text, "(kvm-a) answers, libvirt 9.0.0, opened read-only: 8 domains and 1 network\n")
	require.Contains(t, text, "(kvm-b) answers, libvirt 9.0.0, opened read-only: 2 domains and 2 networks\n")
	require.Contains(t, text, "ok   they hand out 8 network, ")
	require.Contains(t, text, "of 7 domains of Nova's, 1 have metadata without ports")

	worlds := append(mustScenario(t, "nova"), mustScenario(t, "nova")...)
	worlds[1].Hostname = "kvm-b"
	text = findings(t, mustOpen(t, worlds, nil))
	require.Contains(t, text, "of 7 domains of Nova's, 1 have metadata without ports", "domains that two hosts have count once")
}

// Every host is examined, whatever the others say.
func TestCheckNamesTheHostThatIsAway(t *testing.T) {
	source := mustOpen(t, append(mustScenario(t, "nova"), libvirtd.World{Hostname: "kvm-z"}), func(s *libvirtd.Server) {
		if s.World().Hostname == "kvm-z" {
			s.SetFaults(libvirtd.Faults{Answer: func(libvirtd.Call) libvirtd.Behaviour {
				return libvirtd.Behaviour{Fault: libvirtd.Hanging}
			}})
		}
	}, func(o *libvirt.Options) { o.CallTimeout = 200 * time.Millisecond })
	text := findings(t, source)
	require.Contains(t, text, "(kvm-a) answers")
	require.Contains(t, text, "FAIL connect to localhost ")
	require.Contains(t, text, "no answer within 200ms")
	require.Contains(t, text, "ok   they hand out ")
}

func TestCheckNamesWhatMakesNoSense(t *testing.T) {
	text := findings(t, mustOpen(t, mustScenario(t, "broken-metadata"), nil))
	require.Contains(t, text, "FAIL domain instance-0000000")
	text = findings(t, mustOpen(t, []libvirtd.World{{Hostname: "empty"}}, nil))
	require.Contains(t, text, "FAIL the hosts hand nothing out")
	require.Contains(t, text, "ok   no domain has metadata of Nova's")
}

// Metadata without a list of ports is a gap only where that is asked for.
func TestRequirePorts(t *testing.T) {
	require.Empty(t, mustSnapshot(t, mustOpen(t, mustScenario(t, "nova"), nil)).Missing)
	strict := func(o *libvirt.Options) { o.RequirePorts = true }
	missing := mustSnapshot(t, mustOpen(t, mustScenario(t, "nova"), nil, strict)).Missing
	require.Len(t, missing, 1)
	require.Contains(t, missing[0].Part, "domain instance-00000007 (nova10) on localhost")
}

// Without networks nothing of them is asked.
func TestWithoutNetworks(t *testing.T) {
	var daemon *libvirtd.Server
	source := mustOpen(t, mustScenario(t, "plain"), func(s *libvirtd.Server) { daemon = s }, func(o *libvirt.Options) { o.Networks = false })
	require.Empty(t, mustSnapshot(t, source).Allocations)
	require.Zero(t, daemon.Record().Count(libvirtd.ConnectListAllNetworks))
}
