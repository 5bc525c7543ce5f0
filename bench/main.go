// Command bench measures what allocsync promises about speed and memory, each
// figure as a ratio against a floor that is measured in the same run, and
// prints one table in Markdown. `make bench` runs it beside a real NetBox, a real
// Incus and a real libvirt.
//
// The parts that need a NetBox write thousands of rows into it and leave them
// there: give it one of the test bed, never one that anybody uses.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
)

// figure is one line of the table.
type figure struct {
	what     string
	measured string
	floor    string // what it is compared with
	ratio    string
	limit    string // what the project holds itself to
	ok       bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exitOn(run(ctx, os.Args[1:]))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// part measures something and returns its figures.
type part struct {
	name string
	run  func(context.Context) ([]figure, error)
}

// run measures the parts that args name, all without args, and prints each
// figure as soon as there is one.
func run(ctx context.Context, args []string) error {
	parts := []part{{"plan", planning}, {"memory", memory}, {"build", building}, {"netbox", onNetBox}, {"libvirt", onLibvirt}, {"latency", onIncus}}
	fmt.Printf("%s\n\n", machine())
	fmt.Println("| what | measured | compared with | ratio | limit | |")
	fmt.Println("|---|---|---|---|---|---|")
	over := 0
	for _, p := range parts {
		if len(args) > 0 && !strings.Contains(strings.Join(args, " "), p.name) {
			continue
		}
		figures, err := p.run(ctx)
		if errors.Is(err, errNoNetBox) || errors.Is(err, errNoLibvirt) || errors.Is(err, errNoIncus) {
			fmt.Fprintln(os.Stderr, "bench:", err)
			continue
		}
		if err != nil {
			return fmt.Errorf("measure %s: %w", p.name, err)
		}
		for _, f := range figures {
			fmt.Printf("| %s | %s | %s | %s | %s | %s |\n", f.what, f.measured, f.floor, f.ratio, f.limit, verdict(f))
			if !f.ok {
				over++
			}
		}
	}
	if over > 0 {
		return fmt.Errorf("%d figures over their limits", over)
	}
	return nil
}

func verdict(f figure) string {
	switch {
	case f.limit == "":
		return ""
	case f.ok:
		return "met"
	}
	return "over"
}
