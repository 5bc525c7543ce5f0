package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"allocsync/report"
)

// The exit codes. They are part of the interface: monitoring and pipelines
// branch on them.
const (
	exitInStep  = 0 // nothing to do, or everything was done
	exitFailed  = 1 // nothing was done: wrong usage, wrong configuration, NetBox or every source unreachable
	exitChanges = 2 // a dry run found something to do
	exitLimits  = 3 // a source is over its limits and needs a person's approval
	exitPartly  = 4 // a row or a source could not be done, the others were
)

// exit ends a command with a code of its own after it has said all there is to
// say.
type exit struct{ code int }

func (e exit) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// exitCode turns what a command returned into the exit code, and prints the
// error that nobody has printed yet.
func (p *program) exitCode(err error) int {
	var e exit
	switch {
	case err == nil:
		return exitInStep
	case errors.As(err, &e):
		return e.code
	case errors.Is(err, context.Canceled):
		p.complain("allocsync: interrupted: " + err.Error())
	default:
		p.complain("allocsync: " + err.Error())
	}
	return exitFailed
}

// complain prints an error, which may quote what others wrote, line by line.
func (p *program) complain(text string) {
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintln(p.stderr, report.Printable(line))
	}
}
