package libvirt

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	libvirtd "allocsync/fixtures/libvirt"
)

// BenchmarkSnapshot reads a host of the embedded daemon, whose own work is part
// of what is measured. `make bench` compares with a real one.
func BenchmarkSnapshot(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var w libvirtd.World
			for i := range n {
				l := newLive(i)
				l.metadata = novaText(portText(l.port, ipText("fixed", fmt.Sprintf("10.99.%d.%d", i/256, i%256))+ipText("fixed", fmt.Sprintf("2001:db8:aa::%x", i))))
				w.Domains = append(w.Domains, libvirtd.Domain{XML: l.xml(l.metadata, l.nic())})
			}
			_, socket := libvirtd.Start(b, w)
			s, err := Open(testOptions(on(socket)))
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				require.Len(b, mustReadAll(b, s), 2*n)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/domain")
		})
	}
}
