package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The exit codes that the program promises.
const (
	exitInStep  = 0
	exitFailed  = 1
	exitChanges = 2
	exitLimits  = 3
	exitPartly  = 4
)

// longestRun is how long the program may take before a test gives it up.
const longestRun = 3 * time.Minute

// outcome is what a run of the program left behind.
type outcome struct {
	code           int
	stdout, stderr string
}

func (o outcome) String() string {
	return "--- standard output\n" + shortened(o.stdout) + "\n--- standard error\n" + shortened(o.stderr)
}

// shortened keeps the message of a test that fails readable.
func shortened(s string) string {
	const most = 3000
	if len(s) <= 2*most {
		return s
	}
	return s[:most] + "\n[…]\n" + s[len(s)-most:]
}

// running is the program while it runs.
type running struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout safeBuffer
	stderr safeBuffer
	done   chan struct{}
	cancel context.CancelFunc
}

// start runs the program with the world's configuration and environment, and
// nothing of the tests' own environment that could change what it does.
func (w *world) start(args ...string) *running {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), longestRun)
	r := &running{t: w.T, done: make(chan struct{}), cancel: cancel}
	r.cmd = exec.CommandContext(ctx, theSuite.binary, args...)
	r.cmd.Dir = w.folder
	r.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.folder, "TMPDIR=" + os.TempDir(),
		"ALLOCSYNC_CONFIG=" + w.configPath(), "E2E_TOKEN=" + w.token,
	}, w.env...)
	r.cmd.Stdout, r.cmd.Stderr = &r.stdout, &r.stderr
	require.NoError(w, r.cmd.Start())
	go func() {
		_ = r.cmd.Wait() // the exit code is read in wait
		close(r.done)
	}()
	w.Cleanup(func() {
		cancel()
		<-r.done
	})
	return r
}

func (r *running) signal(s syscall.Signal) {
	r.t.Helper()
	require.NoError(r.t, r.cmd.Process.Signal(s))
}

// wait waits for the end. Whatever was run, no secret may stand in what it
// wrote.
func (r *running) wait() outcome {
	r.t.Helper()
	<-r.done
	r.cancel()
	o := outcome{code: r.cmd.ProcessState.ExitCode(), stdout: r.stdout.String(), stderr: r.stderr.String()}
	mustHoldNoSecret(r.t, "standard output", o.stdout)
	mustHoldNoSecret(r.t, "standard error", o.stderr)
	require.NotContains(r.t, o.stderr, "panic:", "%s", o)
	require.NotContains(r.t, o.stderr, "goroutine 1 [", "%s", o)
	require.GreaterOrEqual(r.t, o.code, 0, "the program was killed: it took longer than %s\n%s", longestRun, o)
	return o
}

// run runs the program to its end.
func (w *world) run(args ...string) outcome {
	w.Helper()
	return w.start(args...).wait()
}

// mustRun runs the program and requires its exit code.
func (w *world) mustRun(code int, args ...string) outcome {
	w.Helper()
	o := w.run(args...)
	require.Equal(w, code, o.code, "exit code of allocsync %s\n%s", strings.Join(args, " "), o)
	return o
}

// mustSync runs a pass and returns its report.
func (w *world) mustSync(code int, args ...string) syncReport {
	w.Helper()
	o := w.mustRun(code, append([]string{"sync", "--format", "json"}, args...)...)
	return mustReport(w.T, o)
}

// mustInStep requires that a pass finds nothing to do and writes nothing.
func (w *world) mustInStep() syncReport {
	w.Helper()
	w.proxy.forget()
	r := w.mustSync(exitInStep)
	require.Empty(w, r.lines())
	require.Equal(w, 0, r.Requests.Written)
	require.Empty(w, w.proxy.writes(), "a pass that finds nothing to do writes nothing")
	return r
}

// syncReport is what the tests read of `sync --format json`.
type syncReport struct {
	DryRun      bool `json:"dry_run"`
	Headline    string
	Digest      string
	Approve     string
	Error       string
	Totals      counts
	Exceeded    []problem
	Unreachable []problem
	Problems    []problem
	Requests    struct {
		Sent    int
		Read    int `json:"rows_read"`
		Written int `json:"rows_written"`
	}
	Sources []struct {
		Owner    string
		Complete bool
		Missing  []string
		counts
	}
	Held []struct {
		Reason, Note, Advice string
		Change               change
		Row                  *struct {
			ID    int
			Owner string
		}
	}
	Changes []change
}

type counts struct {
	Claims, Rows                          int
	InStep                                int `json:"in_step"`
	Waiting, Create, Update, Delete, Held int
	Marked, Done, Kept, Refused, Failed   int
	Skipped                               int
	NotApproved                           int `json:"not_approved"`
}

type problem struct{ Owner, Text string }

type change struct {
	Action, Reason, Owner, Kind, Address, VRF string
	UsedBy                                    string `json:"used_by"`
	ID                                        int
	Status, Detail                            string
	Fields                                    []struct{ Name, Old, New string }
}

// line is a change in short: "done update 10.1.2.3/24 used_by /a -> /b".
func (c change) line() string {
	text := c.Status + " " + c.Action + " " + c.Address
	if c.Action == "update" {
		for _, f := range c.Fields {
			text += " " + f.Name + " " + f.Old + " -> " + f.New
		}
	}
	return text
}

func (r syncReport) lines() []string {
	var lines []string
	for _, c := range r.Changes {
		lines = append(lines, c.line())
	}
	return lines
}

func (r syncReport) heldLines() []string {
	var lines []string
	for _, h := range r.Held {
		lines = append(lines, h.Change.Action+" "+h.Change.Address+": "+h.Reason)
	}
	return lines
}

func mustReport(t *testing.T, o outcome) syncReport {
	t.Helper()
	var r syncReport
	require.NoError(t, json.Unmarshal([]byte(o.stdout), &r), "%s", o)
	return r
}

// mustHoldNoSecret requires that text holds no token, nor the secret half of
// one.
func mustHoldNoSecret(t *testing.T, what, text string) {
	t.Helper()
	for _, secret := range secrets.all() {
		// Not require.NotContains: it would print the secret.
		if strings.Contains(text, secret) {
			t.Fatalf("%s holds an API token: …%s…", what, strings.ReplaceAll(around(text, secret), secret, "[TOKEN]"))
		}
	}
}

func around(text, part string) string {
	at := strings.Index(text, part)
	return text[max(0, at-100):min(len(text), at+len(part)+100)]
}

// safeBuffer may be read while the program still writes to it.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// mustBecome polls until the condition holds; it is for what happens in other
// processes.
func mustBecome(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// mustEnd waits for the end of the program for as long as it may take.
func (r *running) mustEnd(within time.Duration) outcome {
	r.t.Helper()
	mustBecome(r.t, within, "the program ends", func() bool {
		select {
		case <-r.done:
			return true
		default:
			return false
		}
	})
	return r.wait()
}

// isGone reports whether a process does not exist.
func isGone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
