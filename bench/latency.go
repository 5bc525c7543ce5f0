package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"time"
)

var errNoIncus = errors.New("no Incus: set ALLOCSYNC_TEST_INCUS_CLI and ALLOCSYNC_TEST_INCUS_SOCKET to those of the test bed (make bench does)")

const (
	rounds    = 20               // of each way to launch
	patience  = 5 * time.Minute  // for the rounds of one way; fewer rounds then
	longest   = 90 * time.Second // that one row may take
	otherRows = 5000             // in NetBox, of the same installation
	lookEvery = 50 * time.Millisecond
)

// hypervisorLXD is a real Incus with a network of the bench's own.
type hypervisorLXD struct {
	cli, socket string
	network     string
	subnet      int // 10.83.N.0/24
	http        *http.Client
}

// onIncus measures how long it takes until NetBox knows what happened at a real
// Incus, with `allocsync serve` as the only one that does anything about it.
func onIncus(ctx context.Context) ([]figure, error) {
	s := server{url: os.Getenv("ALLOCSYNC_TEST_NETBOX_URL"), token: os.Getenv("ALLOCSYNC_TEST_NETBOX_TOKEN")}
	if s.url == "" || s.token == "" {
		return nil, errNoNetBox
	}
	h := &hypervisorLXD{cli: os.Getenv("ALLOCSYNC_TEST_INCUS_CLI"), socket: os.Getenv("ALLOCSYNC_TEST_INCUS_SOCKET")}
	if h.cli == "" || h.socket == "" {
		return nil, errNoIncus
	}
	if err := h.open(ctx); err != nil {
		return nil, err
	}
	defer h.close(context.WithoutCancel(ctx))
	d, err := startDaemon(ctx, s, h)
	if err != nil {
		return nil, err
	}
	defer d.stop()
	pass, err := d.plainPass(ctx)
	if err != nil {
		return nil, err
	}
	var figures []figure
	for _, way := range []way{
		{what: "launch` (static address)", arguments: []string{"-d", fmt.Sprintf("eth0,ipv4.address=10.83.%d.20", h.subnet)}},
		{what: "launch` (address by DHCP)"},
	} {
		made, gone, err := d.measure(ctx, h, way)
		if err != nil {
			return nil, fmt.Errorf("`incus %s: %w", way.what, err)
		}
		figures = append(figures,
			made.figure("from `incus "+way.what+" to its row", "lists it", pass), gone.figure("from `incus delete` of it to the end of its row", "no longer lists it", pass))
	}
	return figures, nil
}

// way is a way to launch an instance.
type way struct {
	what      string
	arguments []string
}

// delays are those of one kind of change: from the beginning of the command.
type delays struct{ rows, incus []float64 } // seconds, until NetBox and until Incus itself has it

func (d *delays) add(begun, incus, row time.Time) {
	d.incus, d.rows = append(d.incus, incus.Sub(begun).Seconds()), append(d.rows, row.Sub(begun).Seconds())
}

// figure compares what comes after Incus' own part with the least that there
// is to it: the quiet time that is waited for, and one pass. Leases, which no
// event tells of, and events in the middle of a pass are why it is more; so
// there is no limit.
func (d delays) figure(what, lists string, pass time.Duration) figure {
	var ratios []float64
	least := (settle + pass).Seconds()
	for i := range d.rows {
		ratios = append(ratios, (d.rows[i]-d.incus[i])/least)
	}
	return figure{
		what:     fmt.Sprintf("%s, %d other rows", what, otherRows),
		measured: fmt.Sprintf("median %.1f s, worst %.1f s of %d", median(d.rows), slices.Max(d.rows), len(d.rows)),
		floor: fmt.Sprintf("Incus %s after %.1f s (worst %.1f s); what follows with %.1f s quiet and a pass of %.2f s",
			lists, median(d.incus), slices.Max(d.incus), settle.Seconds(), pass.Seconds()),
		ratio: fmt.Sprintf("%.2f", median(ratios)), ok: true,
	}
}

// measure launches and deletes instances one after the other.
func (d *daemon) measure(ctx context.Context, h *hypervisorLXD, w way) (made, gone delays, err error) {
	deadline := time.Now().Add(patience)
	for round := 0; round < rounds && (round < 3 || time.Now().Before(deadline)); round++ {
		name := fmt.Sprintf("%s-%d", h.network, round)
		err := d.round(ctx, h, name, w, &made, &gone)
		h.try(context.WithoutCancel(ctx), "delete", "-f", name)
		if err != nil {
			return made, gone, err
		}
	}
	return made, gone, nil
}

func (d *daemon) round(ctx context.Context, h *hypervisorLXD, name string, w way, made, gone *delays) error {
	arguments := append([]string{"launch", "-q", "bb", name, "--network", h.network}, w.arguments...)
	if err := d.step(ctx, h, name, true, made, arguments...); err != nil {
		return err
	}
	d.idle(ctx) // as most of the time in life: no pass runs when something happens
	if err := d.step(ctx, h, name, false, gone, "delete", "-f", name); err != nil {
		return err
	}
	d.idle(ctx)
	return nil
}

// step runs a command, and times until Incus lists (or no longer lists) an
// address of the instance, and until NetBox does.
func (d *daemon) step(ctx context.Context, h *hypervisorLXD, name string, there bool, into *delays, arguments ...string) error {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	begun := time.Now()
	ended := make(chan error, 3)
	var incus, row time.Time
	go func() { ended <- h.run(ctx, arguments...) }()
	go func() {
		var err error
		incus, err = when(ctx, func() (bool, error) { listed, err := h.lists(ctx, name); return listed == there, err })
		ended <- err
	}()
	go func() {
		var err error
		row, err = when(ctx, func() (bool, error) { held, err := d.holds(ctx, name); return held == there, err })
		ended <- err
	}()
	var err error
	for range cap(ended) {
		err = errors.Join(err, <-ended)
	}
	if err != nil {
		return err
	}
	into.add(begun, incus, row)
	return nil
}

// when asks again and again, and returns when it was so.
func when(ctx context.Context, so func() (bool, error)) (time.Time, error) {
	for {
		yes, err := so()
		if yes || err != nil {
			return time.Now(), err
		}
		select {
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case <-time.After(lookEvery):
		}
	}
}

func (h *hypervisorLXD) run(ctx context.Context, arguments ...string) error {
	if text, err := exec.CommandContext(ctx, h.cli, arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("incus %v: %w: %s", arguments, err, text)
	}
	return nil
}

// try is for what may fail: deleting what is gone.
func (h *hypervisorLXD) try(ctx context.Context, arguments ...string) { _ = h.run(ctx, arguments...) }

// open makes the network, on a subnet that nobody else has.
func (h *hypervisorLXD) open(ctx context.Context) error {
	h.http = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", h.socket)
	}}}
	var err error
	for range 5 {
		h.subnet = rand.IntN(250)
		h.network = fmt.Sprintf("bench%d", h.subnet)
		err = h.run(ctx, "network", "create", h.network, fmt.Sprintf("ipv4.address=10.83.%d.1/24", h.subnet), "ipv4.nat=false", "ipv6.address=none")
		if err == nil {
			return nil
		}
	}
	return err
}

func (h *hypervisorLXD) close(ctx context.Context) {
	h.try(ctx, "network", "delete", h.network)
	h.http.CloseIdleConnections()
}

// lists reports whether Incus has an address of the instance on its own list.
func (h *hypervisorLXD) lists(ctx context.Context, name string) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://incus/1.0/networks/"+h.network+"/leases", nil)
	if err != nil {
		return false, err
	}
	response, err := h.http.Do(request)
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }()
	var list struct{ Metadata []struct{ Hostname string } }
	if err := json.NewDecoder(response.Body).Decode(&list); err != nil {
		return false, err
	}
	return slices.ContainsFunc(list.Metadata, func(l struct{ Hostname string }) bool { return l.Hostname == name }), nil
}
