package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// building measures a build with an empty cache, and which libraries it spends
// its time on.
func building(ctx context.Context) ([]figure, error) {
	folder, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	graph, binary := filepath.Join(folder, "graph.json"), filepath.Join(folder, "allocsync")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-debug-actiongraph", graph, "-o", binary, "./cmd/allocsync")
	build.Env = append(os.Environ(), "GOCACHE="+filepath.Join(folder, "cache"), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	took, err := elapsed(build.Run)
	if err != nil {
		return nil, err
	}
	stat, err := os.Stat(binary)
	if err != nil {
		return nil, err
	}
	shares, err := shares(graph)
	if err != nil {
		return nil, err
	}
	return []figure{
		{what: "build of the program, empty cache", measured: fmt.Sprintf("%s, binary %.1f MB", took.Round(time.Second), float64(stat.Size())/1e6), ok: true},
		{what: "where that build's time goes", measured: strings.Join(shares, ", "), ok: true},
	}, nil
}

// shares adds up the compiler's time by module, the largest five first.
func shares(graph string) ([]string, error) {
	text, err := os.ReadFile(graph)
	if err != nil {
		return nil, err
	}
	var actions []struct {
		Mode, Package       string
		TimeStart, TimeDone time.Time
	}
	if err := json.Unmarshal(text, &actions); err != nil {
		return nil, err
	}
	var total time.Duration
	byModule := map[string]time.Duration{}
	for _, a := range actions {
		if a.Mode != "build" && a.Mode != "link" {
			continue
		}
		spent := a.TimeDone.Sub(a.TimeStart)
		total += spent
		byModule[module(a.Package)] += spent
	}
	var names []string
	for name := range byModule {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return int(byModule[b] - byModule[a]) })
	var list []string
	for _, name := range names[:min(5, len(names))] {
		list = append(list, fmt.Sprintf("%s %.0f %%", name, 100*float64(byModule[name])/float64(total)))
	}
	return list, nil
}

// module names what a package belongs to: a repository, this project, or the
// standard library.
func module(pkg string) string {
	parts := strings.Split(pkg, "/")
	switch {
	case parts[0] == "allocsync":
		return "allocsync"
	case !strings.Contains(parts[0], "."):
		return "standard library"
	case len(parts) > 2:
		return strings.Join(parts[1:3], "/")
	}
	return pkg
}
