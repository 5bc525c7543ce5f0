package webhook

import (
	"bufio"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

// A thousand hooks at once, as NetBox sends them for a bulk edit, all get
// through, and leave nothing behind.
func TestBurst(t *testing.T) {
	b := newBed(t, nil)
	b.client.Transport = &http.Transport{MaxConnsPerHost: 50, MaxIdleConnsPerHost: 50}
	one := func(i int) string {
		return body("updated", "ipam.ipaddress", `"address":"192.0.2.1/24","custom_fields":{"sync_owner":"dc1/lab"}`, fmt.Sprintf(`"address":"192.0.2.%d/24","comments":%q,"custom_fields":{"sync_owner":"dc1/lab"}`, i%250, strings.Repeat("x", 4000+i)))
	}
	burst := func(from, to int) {
		work := make(chan int)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				for i := range work {
					if r := b.hook(t, one(i)); r.status != http.StatusAccepted {
						t.Errorf("hook %d: %d %s", i, r.status, r.text)
					}
				}
			})
		}
		for i := from; i < to; i++ {
			work <- i
		}
		close(work)
		all.Wait()
	}
	measure := func() (uint64, int) {
		b.told()
		b.client.CloseIdleConnections()
		require.Eventually(t, func() bool { return runtime.NumGoroutine() < 30 }, 10*time.Second, 10*time.Millisecond)
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, runtime.NumGoroutine()
	}
	burst(0, 100)
	heap, goroutines := measure()
	burst(100, 1100)
	require.Len(t, b.told(), 1000)
	after, goroutinesAfter := measure()
	require.Less(t, int64(after)-int64(heap), int64(1<<20), "1,000 bodies were 10 MB")
	require.LessOrEqual(t, goroutinesAfter, goroutines+2)
	require.Equal(t, int64(16<<20), b.server.bodies.left.Load(), "what bodies took was given back")
	require.LessOrEqual(t, strings.Count(b.log.String(), "\n"), 55, "a line each, but not more than the disk can bear")
}

// The limits of those who may call hold, and say when to come again.
func TestRateOfTheSigned(t *testing.T) {
	b := newBed(t, withKnobs(func(k *knobs) { k.resync, k.netbox = limit{0.5, 3}, limit{2, 2} }))
	token := []string{"Authorization", "Bearer " + resyncToken}
	for range 3 {
		require.Equal(t, 202, b.resync(t, "", "", token...).status)
	}
	r := b.resync(t, "", "", token...)
	require.Equal(t, 429, r.status)
	require.Equal(t, "2", r.header.Get("Retry-After"))
	require.Equal(t, "too many requests", r.json(t).Error)
	require.Equal(t, 401, b.resync(t, "", "").status, "strangers do not learn that others call too often")

	hook := func(i int) reply {
		return b.hook(t, body("deleted", "ipam.prefix", `"prefix":"10.0.0.0/8","n":`+strconv.Itoa(i), ""))
	}
	require.Equal(t, 202, hook(1).status, "each hook has its own rate")
	require.Equal(t, 202, hook(2).status)
	require.Equal(t, 429, hook(3).status)
	b.pass(2 * time.Second)
	require.True(t, hook(3).json(t).Accepted, "what was turned away is no replay when it comes again")
	require.Equal(t, 202, b.resync(t, "", "", token...).status)
	require.Equal(t, 429, b.resync(t, "", "", token...).status)
	require.Len(t, b.told(), 7)
}

// Who has no right to anything is stopped before anything is computed, and
// does not keep the others out.
func TestRateOfStrangers(t *testing.T) {
	b := newBed(t, withKnobs(func(k *knobs) { k.address = limit{1, 5} }))
	for i := range 8 {
		want := 401
		if i >= 5 {
			want = 429
		}
		require.Equal(t, want, b.send(t, http.MethodPost, "/hooks/netbox", "{}").status, i)
	}
	require.Equal(t, 429, b.resync(t, "", "", "Authorization", "Bearer "+resyncToken).status, "one rate for both hooks")
	require.Equal(t, 200, b.send(t, http.MethodGet, "/healthz", "").status)
	from := netip.MustParseAddr("192.0.2.1")
	require.Zero(t, b.server.rates.enter(from, b.now()), "another address")
	b.pass(time.Second)
	require.Equal(t, 202, b.resync(t, "", "", "Authorization", "Bearer "+resyncToken).status)
}

func TestRates(t *testing.T) {
	k := usualKnobs()
	k.address, k.everybody, k.addresses = limit{1, 2}, limit{1, 100}, 4
	r, now := newRates(k), recorded()
	ip := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) }
	for i := range 4 {
		require.Zero(t, r.enter(ip(i), now))
	}
	// Four are known: the others share one rate.
	require.Zero(t, r.enter(ip(10), now))
	require.Zero(t, r.enter(ip(11), now))
	require.Equal(t, time.Second, r.enter(ip(12), now))
	require.Zero(t, r.enter(ip(0), now), "who is known has its own")
	require.Equal(t, time.Second, r.enter(ip(0), now))
	now = now.Add(10 * time.Second)
	for i := range 100 {
		r.enter(ip(20+i), now)
		require.LessOrEqual(t, len(r.addresses), 4)
	}
	require.Contains(t, r.addresses, ip(20), "who was quiet made room")
	require.NotContains(t, r.addresses, ip(0))

	// One host has a whole /64 of IPv6 addresses, and one IPv4 address in
	// whatever dress.
	r = newRates(k)
	require.Zero(t, r.enter(netip.MustParseAddr("2001:db8::1"), now))
	require.Zero(t, r.enter(netip.MustParseAddr("2001:db8::2%eth0"), now))
	require.NotZero(t, r.enter(netip.MustParseAddr("2001:db8::ffff:3"), now))
	require.Zero(t, r.enter(netip.MustParseAddr("2001:db8:0:1::3"), now))
	require.Zero(t, r.enter(netip.MustParseAddr("192.0.2.1"), now))
	require.Zero(t, r.enter(netip.MustParseAddr("::ffff:192.0.2.1"), now))
	require.NotZero(t, r.enter(netip.MustParseAddr("192.0.2.1"), now))

	// All together.
	k.everybody, k.addresses = limit{1, 3}, 1000
	r = newRates(k)
	for i := range 3 {
		require.Zero(t, r.enter(ip(i), now))
	}
	require.Equal(t, time.Second, r.enter(ip(3), now))
	// A clock that is set back gives nothing away, and keeps nobody out.
	now = now.Add(-time.Hour)
	require.Equal(t, time.Second, r.enter(ip(4), now))
	require.Zero(t, r.enter(ip(5), now.Add(time.Second)))
}

// Connections that send nothing, or ever so slowly, are cut.
func TestSlowSenders(t *testing.T) {
	header, read, idle := func(k *knobs) { k.readHeader = 100 * time.Millisecond }, func(k *knobs) { k.read = 200 * time.Millisecond }, func(k *knobs) { k.idle = 100 * time.Millisecond }
	for name, slow := range map[string]struct {
		text string
		knob func(*knobs) // that has to cut it; the others take longer than the test waits
	}{
		"nothing":      {"", header},
		"half a line":  {"POST /hooks/net", header},
		"half headers": {"POST /hooks/netbox HTTP/1.1\r\nHost: x\r\nX-A: ", header},
		"half a body":  {"POST /hooks/netbox HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n" + headerNetBox + ": " + sign(sha512.New, "x", "") + "\r\n\r\n{", read},
		"idle":         {"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", idle},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, withKnobs(func(k *knobs) {
				k.readHeader, k.read, k.idle = time.Hour, time.Hour, time.Hour
				k.shutdown = 100 * time.Millisecond
				slow.knob(k)
			}))
			c, err := net.Dial("tcp", b.server.Addr())
			require.NoError(t, err)
			defer c.Close()
			_, err = io.WriteString(c, slow.text)
			require.NoError(t, err)
			require.NoError(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
			_, err = io.Copy(io.Discard, c)
			var waited net.Error
			require.False(t, errors.As(err, &waited) && waited.Timeout(), "the connection is still there")
			require.Empty(t, b.told())
			require.Eventually(t, func() bool { return b.server.bodies.left.Load() == 16<<20 }, 10*time.Second, time.Millisecond)
		})
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	b := newBed(t, withKnobs(func(k *knobs) { k.connections, k.shutdown = 2, 100*time.Millisecond }))
	var held []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", b.server.Addr())
		require.NoError(t, err)
		defer c.Close()
		held = append(held, c)
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if r, err := b.client.Get(b.url + "/healthz"); err == nil {
			r.Body.Close()
		}
	}()
	select {
	case <-answered:
		t.Error("a third connection was let in")
	case <-time.After(50 * time.Millisecond):
	}
	held[0].Close()
	<-answered
}

func TestHeadersAreBounded(t *testing.T) {
	b := newBed(t, nil)
	c, err := net.Dial("tcp", b.server.Addr())
	require.NoError(t, err)
	defer c.Close()
	go fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nX-A: %s\r\n\r\n", strings.Repeat("x", 64<<10)) // may be cut off
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, r.StatusCode)
}

// A body without a length is stopped at the limit too.
func TestChunkedBody(t *testing.T) {
	b := newBed(t, nil)
	long := strings.Repeat(" ", 1<<20+1)
	request, err := http.NewRequest(http.MethodPost, b.url+"/hooks/netbox", io.MultiReader(strings.NewReader(long)))
	require.NoError(t, err)
	request.Header.Set(headerNetBox, sign(sha512.New, netboxSecret, long))
	response, err := b.client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
	require.Equal(t, 413, b.send(t, http.MethodPost, "/hooks/resync", long, "Authorization", "Bearer "+resyncToken).status)
}

// Bodies of strangers together take no more than their budget.
func TestBudget(t *testing.T) {
	b := newBudget(20_000)
	read := func(n int64) func() {
		body, release, err := b.read(io.LimitReader(zeros{}, n), 10_000)
		require.NoError(t, err)
		require.Len(t, body, int(n))
		return release
	}
	for _, n := range []int64{0, 1, 4095, 4096, 4097, 8192, 10_000} {
		read(n)()
	}
	require.Equal(t, int64(20_000), b.left.Load())
	first, second := read(9000), read(100)
	_, third, err := b.read(io.LimitReader(zeros{}, 9000), 10_000)
	require.ErrorIs(t, err, errBusy)
	third()
	second()
	first()
	_, release, err := b.read(zeros{}, 10_000)
	require.ErrorIs(t, err, errTooLarge)
	release()
	release()
	_, release, err = b.read(iotest.ErrReader(io.ErrClosedPipe), 10_000)
	require.ErrorIs(t, err, io.ErrClosedPipe)
	release()
	require.Equal(t, int64(20_000), b.left.Load())

	bed := newBed(t, withKnobs(func(k *knobs) { k.bodies = 8 << 10 }))
	r := bed.hook(t, strings.Repeat(" ", 20_000))
	require.Equal(t, 429, r.status)
	require.Equal(t, "1", r.header.Get("Retry-After"))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A flood of refusals fills no disk, and the log tells how many there were.
func TestLogIsBounded(t *testing.T) {
	b := newBed(t, withKnobs(func(k *knobs) { k.lines = limit{1, 10} }))
	for range 100 {
		require.Equal(t, 401, b.send(t, http.MethodPost, "/hooks/netbox", "{}").status)
	}
	require.Equal(t, 10, strings.Count(b.log.String(), "hook refused"))
	require.Equal(t, 202, b.resync(t, "", "", "Authorization", "Bearer "+resyncToken).status)
	require.Contains(t, b.log.String(), "hook accepted", "refusals do not push out what was accepted")
	b.pass(time.Second)
	require.Equal(t, 401, b.send(t, http.MethodPost, "/hooks/netbox?token="+resyncToken, "{}").status)
	require.Contains(t, b.log.String(), `"omitted":90`)
	require.Contains(t, b.log.String(), `"remote":"127.0.0.1:`)
	require.Equal(t, 401, b.send(t, http.MethodPost, "/hooks/netbox", "{}").status)
	b.server.journal.close()
	require.Contains(t, b.log.String(), `"omitted":1,`)
}
