package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"allocsync/netbox/netboxtest"
)

const memoryRows = 100_000

// memory measures the peak memory of a process that makes one pass in which
// nothing changes. NetBox and LXD live in this process, the pass in a child.
func memory(ctx context.Context) ([]figure, error) {
	const token = "0123456789abcdef0123456789abcdef01234567"
	server := netboxtest.New(netboxtest.Options{Token: token, KeepChanges: 1})
	web := httptest.NewServer(server)
	defer web.Close()
	source, err := serveLXD()
	if err != nil {
		return nil, err
	}
	defer source.close()
	source.Set(rows(memoryRows)...)
	pass, client, err := openPass(web.URL, token, source.url, "")
	if err != nil {
		return nil, err
	}
	if _, err := client.Setup(ctx, false); err != nil {
		return nil, err
	}
	proposal, err := pass.Plan(ctx)
	if err != nil {
		return nil, err
	}
	if result := pass.Carry(ctx, proposal); result.Err != nil {
		return nil, result.Err
	}
	folder, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	child, err := program(ctx, folder, web.URL, token, source.url)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	child.Stdout = &out
	if err := child.Start(); err != nil {
		return nil, err
	}
	peak := watch(child.Process.Pid)
	if err := child.Wait(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out.String())
	}
	if !strings.Contains(strings.ReplaceAll(out.String(), ",", ""), fmt.Sprintf("%d in step", memoryRows)) {
		return nil, fmt.Errorf("not in step: %s", out.String())
	}
	mb := float64(<-peak) / 1024
	return []figure{{
		what: fmt.Sprintf("peak memory of a pass over %d rows in step", memoryRows), measured: fmt.Sprintf("%.0f MB", mb),
		limit: "250 MB", ok: mb <= 250,
	}}, nil
}

// watch follows the peak resident memory of a process, in kB, until it ends.
// The figure that wait(2) gives will not do: it counts the memory of this
// process, which the child shares until it has become another program.
func watch(pid int) <-chan int {
	peak := make(chan int, 1)
	go func() {
		highest := 0
		for {
			value, _, _ := strings.Cut(field(fmt.Sprintf("/proc/%d/status", pid), "VmHWM"), " ")
			kb, err := strconv.Atoi(value)
			if err != nil {
				break // it has ended
			}
			highest = max(highest, kb)
			time.Sleep(2 * time.Millisecond)
		}
		peak <- highest
	}()
	return peak
}

// program builds the program and returns the call that makes one pass.
func program(ctx context.Context, folder, netboxURL, token, lxdURL string) (*exec.Cmd, error) {
	binary, settings := filepath.Join(folder, "allocsync"), filepath.Join(folder, "allocsync.yaml")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/allocsync")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the program: %w: %s", err, text)
	}
	if err := os.WriteFile(settings, []byte(settingsOf(netboxURL, token, lxdURL)), 0o600); err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, binary, "sync", "--config", settings), nil
}
