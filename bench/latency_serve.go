package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"allocsync/netbox"
)

// settle is the quiet time that `allocsync serve` waits for by default.
const settle = 500 * time.Millisecond

// daemon is `allocsync serve` as it is installed, while it runs.
type daemon struct {
	server
	vrf, key, base string
	cmd            *exec.Cmd
	log            *logged
	bulk           *lxdServer
	folder         string
}

// logged is what is to be known of the program's log. The first pass
// writes a line for each row, so lines are read once, as they come.
type logged struct {
	mu     sync.Mutex
	rest   []byte // the beginning of a line
	listen string
	passes []line // that have ended
	at     time.Time
}

// line is what is read of a line of the log.
type line struct {
	Message, Outcome, Listen, Error string
	Took                            float64 `json:"took_ms"`
}

// Write takes a piece of the log.
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = time.Now()
	l.rest = append(l.rest, p...)
	for {
		row, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		l.rest = rest
		var one line
		if json.Unmarshal(row, &one) != nil {
			continue
		}
		l.listen = cmp.Or(l.listen, one.Listen)
		if one.Outcome != "" {
			l.passes = append(l.passes, one)
		}
	}
}

// ended is how many passes have ended, the last of them, and how long ago the
// program wrote anything.
func (l *logged) ended() (n int, last line, quiet time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n = len(l.passes); n > 0 {
		last = l.passes[n-1]
	}
	return n, last, time.Since(l.at)
}

// startDaemon starts the program with two sources: the Incus, and one whose
// rows are only there.
func startDaemon(ctx context.Context, s server, h *hypervisorLXD) (*daemon, error) {
	folder, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	d := &daemon{server: s, folder: folder, log: &logged{}, key: "bench-" + fmt.Sprint(time.Now().UnixNano())}
	if err := d.start(ctx, h); err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

func (d *daemon) start(ctx context.Context, h *hypervisorLXD) error {
	binary, file := filepath.Join(d.folder, "allocsync"), filepath.Join(d.folder, "allocsync.yaml")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "allocsync/cmd/allocsync")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w: %s", err, text)
	}
	client, err := netbox.Open(netbox.Options{URL: d.url, Token: netbox.Token(d.token)})
	if err != nil {
		return err
	}
	if _, err := client.Setup(ctx, false); err != nil {
		return err
	}
	d.vrf = fmt.Sprintf("bench-latency-%d", time.Now().UnixNano())
	if _, err := d.makeVRF(ctx, d.vrf); err != nil {
		return err
	}
	if d.bulk, err = serveLXD(); err != nil {
		return err
	}
	d.bulk.Set(rows(otherRows)...)
	text := fmt.Sprintf(`installation: %[1]s
netbox: {url: %[2]q, token: "${BENCH_TOKEN}"}
serve: {listen: "127.0.0.1:0", schedule: "", settle: %[3]s, resync_token: %[4]s, state_dir: %[5]q}
sources:
  - {name: incus, kind: lxd, options: {url: "unix://%[6]s"}}
  - {name: bulk, kind: lxd, options: {url: %[7]q}}
rules:
  - set: {vrf: %[1]s}
  - {match: {source: incus}, set: {skip: true}}
  - {match: {network: %[8]s}, set: {skip: false}}
`, d.vrf, d.url, settle, d.key, filepath.Join(d.folder, "state"), h.socket, d.bulk.url, h.network)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	d.cmd = exec.CommandContext(context.WithoutCancel(ctx), binary, "serve", "-c", file)
	d.cmd.Env = append(os.Environ(), "BENCH_TOKEN="+d.token)
	d.cmd.Stderr = d.log
	if err := d.cmd.Start(); err != nil {
		return err
	}
	// The first pass writes the other rows.
	if err := d.pass(ctx, 0, 10*time.Minute, "applied"); err != nil {
		return err
	}
	d.base = "http://" + d.log.listen
	d.idle(ctx)
	bulk := url.Values{"cf_sync_owner": {d.vrf + "/bulk"}, "limit": {"500"}}
	return d.settle(ctx, []string{"/api/ipam/ip-addresses/?" + bulk.Encode()})
}

// pass waits until more than n passes have ended, the last one as it should.
func (d *daemon) pass(ctx context.Context, n int, within time.Duration, outcome string) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	_, err := when(ctx, func() (bool, error) { ended, _, _ := d.log.ended(); return ended > n, nil })
	if _, last, _ := d.log.ended(); err == nil && last.Outcome != outcome {
		err = fmt.Errorf("a pass ended %s instead of %s: %s", last.Outcome, outcome, last.Error)
	}
	return err
}

// idle waits until the program has been quiet for a while, but not for ever:
// others may use the same Incus.
func (d *daemon) idle(ctx context.Context) {
	const enough, most = 2 * time.Second, 30 * time.Second
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	_, _ = when(ctx, func() (bool, error) { _, _, quiet := d.log.ended(); return quiet > enough, nil })
}

// plainPass is the median of passes over the Incus in which nothing changes.
func (d *daemon) plainPass(ctx context.Context) (time.Duration, error) {
	var times []float64
	for range 9 {
		before, _, _ := d.log.ended()
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.base+"/hooks/resync?source=incus", nil)
		if err != nil {
			return 0, err
		}
		request.Header.Set("Authorization", "Bearer "+d.key)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, err
		}
		_ = response.Body.Close()
		if err := d.pass(ctx, before, time.Minute, "in step"); err != nil {
			return 0, err
		}
		_, last, _ := d.log.ended()
		times = append(times, last.Took)
	}
	return time.Duration(median(times) * float64(time.Millisecond)), nil
}

// holds reports whether NetBox has a row of the instance.
func (d *daemon) holds(ctx context.Context, name string) (bool, error) {
	query := url.Values{"cf_used_by": {"/1.0/instances/" + name}, "cf_sync_owner": {d.vrf + "/incus"}, "limit": {"1"}, "brief": {"true"}}
	text, err := d.call(ctx, http.MethodGet, "/api/ipam/ip-addresses/?"+query.Encode(), nil)
	if err != nil {
		return false, err
	}
	var page struct{ Count int }
	err = json.Unmarshal(text, &page)
	return page.Count > 0, err
}

// stop ends the program and takes its folder away.
func (d *daemon) stop() {
	if d.cmd != nil && d.cmd.Process != nil {
		_ = d.cmd.Process.Signal(syscall.SIGTERM)
		_ = d.cmd.Wait()
	}
	if d.bulk != nil {
		d.bulk.close()
	}
	_ = os.RemoveAll(d.folder)
}
