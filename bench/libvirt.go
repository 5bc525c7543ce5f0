package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/metrics"
	"strconv"
	"sync"

	golibvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sync/errgroup"

	"allocsync/sources"
	"allocsync/sources/libvirt"
)

var errNoLibvirt = errors.New("no libvirt: set ALLOCSYNC_TEST_LIBVIRT_CTL and ALLOCSYNC_TEST_LIBVIRT_BULK_SOCKET_RO to those of the test bed (make bench does)")

const (
	fewDomains  = 1000
	manyDomains = 4000
	perDomain   = 3  // addresses that each of them has
	readings    = 15 // of each way, in turn
	inFlight    = 64 // calls at once, in the program and in the floor alike
)

// hypervisor is a real libvirt daemon with as many domains as are wanted.
type hypervisor struct {
	ctl, socket string
}

// onLibvirt measures reading one real host.
func onLibvirt(ctx context.Context) ([]figure, error) {
	h := hypervisor{ctl: os.Getenv("ALLOCSYNC_TEST_LIBVIRT_CTL"), socket: os.Getenv("ALLOCSYNC_TEST_LIBVIRT_BULK_SOCKET_RO")}
	if h.ctl == "" || h.socket == "" {
		return nil, errNoLibvirt
	}
	defer func() { _ = h.define(context.WithoutCancel(ctx), 0) }() // nobody else wants them
	if err := h.define(ctx, fewDomains); err != nil {
		return nil, err
	}
	speed, err := h.speed(ctx)
	if err != nil {
		return nil, err
	}
	few, err := h.room(ctx, fewDomains)
	if err != nil {
		return nil, err
	}
	if err := h.define(ctx, manyDomains); err != nil {
		return nil, err
	}
	many, err := h.room(ctx, manyDomains)
	if err != nil {
		return nil, err
	}
	return append([]figure{speed}, few.beside(many)...), nil
}

// define makes the host have n domains and no others.
func (h hypervisor) define(ctx context.Context, n int) error {
	if text, err := exec.CommandContext(ctx, h.ctl, "bulk", strconv.Itoa(n)).CombinedOutput(); err != nil {
		return fmt.Errorf("make %d domains: %w: %s", n, err, text)
	}
	return nil
}

// open opens the host as the program does.
func (h hypervisor) open() (sources.Source, error) {
	factory := libvirt.Factory()
	options := factory.Options().(*libvirt.Options)
	options.URIs = []string{"qemu:///system?socket=" + h.socket}
	return factory.Open(options)
}

// read reads the host, and requires n domains.
func read(ctx context.Context, s sources.Source, n int) (sources.Snapshot, error) {
	snapshot, err := s.Snapshot(ctx)
	if err == nil && (!snapshot.Complete() || len(snapshot.Allocations) != n*perDomain) {
		err = fmt.Errorf("%d addresses instead of %d, missing: %v", len(snapshot.Allocations), n*perDomain, snapshot.Missing)
	}
	return snapshot, err
}

// bareRead lists the domains and fetches the XML of each over one connection,
// and throws it away. It returns how many bytes that was.
func (h hypervisor) bareRead(ctx context.Context) (int, error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, "unix", h.socket)
	if err != nil {
		return 0, err
	}
	defer func() { _ = raw.Close() }()
	c := golibvirt.NewWithDialer(connected{raw})
	if err := c.ConnectToURI(golibvirt.QEMUSystem); err != nil {
		return 0, err
	}
	domains, _, err := c.ConnectListAllDomains(1, golibvirt.ConnectListDomainsActive|golibvirt.ConnectListDomainsInactive)
	if err != nil {
		return 0, err
	}
	sizes := make([]int, len(domains))
	var group errgroup.Group
	group.SetLimit(inFlight)
	for i, d := range domains {
		group.Go(func() error {
			text, err := c.DomainGetXMLDesc(d, 0)
			sizes[i] = len(text)
			return err
		})
	}
	err = group.Wait()
	total := 0
	for _, n := range sizes {
		total += n
	}
	return total, err
}

// connected is a dialer for a connection that exists already.
type connected struct{ net.Conn }

// Dial returns the connection.
func (c connected) Dial() (net.Conn, error) { return c.Conn, nil }

// speed measures reading the host against doing no more than fetching the same,
// in turn.
func (h hypervisor) speed(ctx context.Context) (figure, error) {
	s, err := h.open()
	if err != nil {
		return figure{}, err
	}
	var times, floors, ratios []float64
	for range readings {
		floor, err := elapsed(func() error { _, err := h.bareRead(ctx); return err })
		if err != nil {
			return figure{}, err
		}
		took, err := elapsed(func() error { _, err := read(ctx, s, fewDomains); return err })
		if err != nil {
			return figure{}, err
		}
		times, floors = append(times, took.Seconds()), append(floors, floor.Seconds())
		ratios = append(ratios, took.Seconds()/floor.Seconds())
	}
	return figure{
		what:     fmt.Sprintf("reading %d domains of a real libvirt host", fewDomains),
		measured: fmt.Sprintf("%.0f ms", 1000*median(times)),
		floor:    fmt.Sprintf("fetching the same XML, %d calls at once, %.0f ms", inFlight, 1000*median(floors)),
		ratio:    fmt.Sprintf("%.2f", median(ratios)), limit: "2.5", ok: median(ratios) <= 2.5,
	}, nil
}

// room is how much memory reading a host takes, in bytes for each domain.
type room struct {
	domains                    int
	peak, result, churned, xml float64
}

// room measures memory: what is in use while the host is read, and what of it
// is the result. What is garbage already does not count: how much of that there
// is depends on the collector's settings, and so it runs all the time here.
func (h hypervisor) room(ctx context.Context, n int) (room, error) {
	s, err := h.open()
	if err != nil {
		return room{}, err
	}
	size, err := h.bareRead(ctx)
	if err != nil {
		return room{}, err
	}
	if _, err := read(ctx, s, n); err != nil { // so that what is made once exists
		return room{}, err
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	stop := make(chan struct{})
	var highest uint64
	var watching sync.WaitGroup
	watching.Go(func() { highest = mostInUse(stop) })
	snapshot, err := read(ctx, s, n)
	close(stop)
	watching.Wait()
	runtime.ReadMemStats(&after)
	churned := after.TotalAlloc - before.TotalAlloc
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(snapshot)
	each := func(bytes float64) float64 { return bytes / float64(n) }
	return room{
		domains: n, peak: each(float64(highest) - float64(before.HeapAlloc)), result: each(float64(after.HeapAlloc) - float64(before.HeapAlloc)),
		churned: each(float64(churned)), xml: each(float64(size)),
	}, err
}

// mostInUse collects garbage until stop is closed, and returns the largest heap
// that was left in use.
func mostInUse(stop <-chan struct{}) uint64 {
	inUse := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	var highest uint64
	for {
		runtime.GC()
		metrics.Read(inUse)
		highest = max(highest, inUse[0].Value.Uint64())
		select {
		case <-stop:
			return highest
		default:
		}
	}
}

// beside compares a reading of few domains with one of many. What it holds
// beside its result is about as much as the XML, which it does not keep, and no
// more for each domain where there are many.
func (r room) beside(many room) []figure {
	const kept, growth = 2.0, 1.25
	share, ratio := (many.peak-many.result)/many.xml, many.peak/r.peak
	return []figure{{
		what:     fmt.Sprintf("memory that reading %d domains takes, beside its result", many.domains),
		measured: fmt.Sprintf("%.0f B a domain (result: %.0f B; allocated and dropped: %.0f B)", many.peak-many.result, many.result, many.churned),
		floor:    fmt.Sprintf("its XML, %.0f B", many.xml),
		ratio:    fmt.Sprintf("%.2f", share), limit: fmt.Sprint(kept), ok: share <= kept,
	}, {
		what:     "growth of that memory, with the result",
		measured: fmt.Sprintf("%.0f B a domain of %d", many.peak, many.domains),
		floor:    fmt.Sprintf("%.0f B a domain of %d", r.peak, r.domains),
		ratio:    fmt.Sprintf("%.2f", ratio), limit: fmt.Sprint(growth), ok: ratio <= growth,
	}}
}
