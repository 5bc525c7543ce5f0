package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"
)

// keyring holds the secrets of one `allocsync serve`. All of them are looked
// for in whatever the program says; see mustHoldNoSecret.
type keyring struct{ hook, resyncToken, resyncSecret, page, approve string }

func newKeyring() keyring {
	k := keyring{randomHex(16), randomHex(16), randomHex(16), randomHex(16), randomHex(16)}
	secrets.add(k.hook, k.resyncToken, k.resyncSecret, k.page, k.approve)
	return k
}

// daemon is `allocsync serve` while it runs.
type daemon struct {
	*running
	keyring
	world *world
	base  string // of its addresses: "http://127.0.0.1:4711"
	http  *http.Client
}

// served writes the configuration for `allocsync serve`, with further lines
// below serve:, and returns the secrets in it. Nothing but hooks and what lines
// say starts a pass, besides the start.
func (w *world) served(sources []string, lines ...string) keyring {
	w.Helper()
	k := newKeyring()
	w.serveKeys(k, lines...)
	w.configure(sources...)
	return k
}

func (w *world) serveKeys(k keyring, lines ...string) {
	text := "serve:"
	usual := []string{
		"listen: 127.0.0.1:0", `schedule: ""`, "jitter: 0s", "watch: false", "settle: 500ms", "state_dir: " + w.stateDir(),
		"netbox_secret: " + k.hook, "resync_token: " + k.resyncToken, "resync_secret: " + k.resyncSecret,
		"page_token: " + k.page, "approve_token: " + k.approve,
	}
	for _, line := range lines { // a key that is given replaces the usual one
		key, _, _ := strings.Cut(line, ":")
		usual = slices.DeleteFunc(usual, func(u string) bool { return strings.HasPrefix(u, key+":") })
	}
	for _, line := range append(usual, lines...) {
		text += "\n  " + line
	}
	w.keys = slices.DeleteFunc(w.keys, func(key string) bool { return strings.HasPrefix(key, "serve:") })
	w.keys = append(w.keys, text)
}

func (w *world) stateDir() string { return filepath.Join(w.folder, "state") }

// mustServe starts the program and waits until it is up, which is before its
// first pass has ended.
func (w *world) mustServe(k keyring) *daemon {
	w.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(w, err)
	d := &daemon{running: w.start("serve"), keyring: k, world: w, http: &http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 20 * time.Second,
	}}
	w.Cleanup(func() {
		if w.Failed() {
			w.Logf("log of allocsync serve:\n%s", shortened(d.stderr.String()))
		}
		d.http.CloseIdleConnections()
	})
	mustBecome(w.T, 20*time.Second, "serve is up", func() bool {
		up := d.said("allocsync is up")
		if len(up) > 0 {
			d.base = "http://" + up[0].Listen
		}
		return len(up) > 0 || d.over()
	})
	require.False(w, d.over(), "%s", d.stderr.String())
	return d
}

// over reports whether the program has ended.
func (d *daemon) over() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// logLine is what the tests read of a line of the log.
type logLine struct {
	Time      time.Time
	Level     string
	Message   string
	Listen    string
	Run       int
	Trigger   string
	Outcome   string
	Error     string
	Digest    string
	RequestID string `json:"request_id"`
	Lab       struct {
		Answer                                               string
		Allocations, Rows, Created, Updated, Deleted, Failed int
	}
}

// said are the lines of the log whose message begins with some words.
func (d *daemon) said(words string) []logLine {
	var list []logLine
	for line := range strings.Lines(d.stderr.String()) {
		var l logLine
		if json.Unmarshal([]byte(line), &l) == nil && strings.HasPrefix(l.Message, words) {
			list = append(list, l)
		}
	}
	return list
}

// passes are those that have ended, in their order.
func (d *daemon) passes() []logLine {
	return slices.DeleteFunc(d.said("pass "), func(l logLine) bool { return l.Outcome == "" })
}

// mustPass waits for the end of the n-th pass, from 1, and returns it.
func (d *daemon) mustPass(n int) logLine {
	d.world.Helper()
	mustBecome(d.world.T, time.Minute, "pass "+strconv.Itoa(n)+" ends", func() bool { return len(d.passes()) >= n })
	return d.passes()[n-1]
}

// quiet requires that no further pass is made for a time.
func (d *daemon) quiet(passes int, during time.Duration) {
	d.world.Helper()
	time.Sleep(during)
	require.Len(d.world, d.passes(), passes)
}

// answer is what came back over HTTP.
type answer struct {
	code   int
	text   string
	header http.Header
}

// do sends a request, with headers in pairs of name and value. No answer may
// hold a secret.
func (d *daemon) do(method, path, body string, headers ...string) answer {
	d.world.Helper()
	request, err := http.NewRequest(method, d.base+path, strings.NewReader(body))
	require.NoError(d.world, err)
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	response, err := d.http.Do(request)
	require.NoError(d.world, err)
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	require.NoError(d.world, err)
	mustHoldNoSecret(d.world.T, method+" "+path, string(content))
	for name, values := range response.Header {
		mustHoldNoSecret(d.world.T, "header "+name+" of "+path, strings.Join(values, "\n"))
	}
	return answer{code: response.StatusCode, text: string(content), header: response.Header}
}

// page reads a page, with the token for it.
func (d *daemon) page(path string) string {
	d.world.Helper()
	a := d.do(http.MethodGet, path, "", "Authorization", "Bearer "+d.keyring.page)
	require.Equal(d.world, http.StatusOK, a.code, "%s: %s", path, a.text)
	return a.text
}

// resync asks for a pass.
func (d *daemon) resync() {
	d.world.Helper()
	a := d.do(http.MethodPost, "/hooks/resync", "", "Authorization", "Bearer "+d.resyncToken)
	require.Equal(d.world, http.StatusAccepted, a.code, a.text)
}

// metric is the value of one series, named as /metrics does; NaN-free, and -1
// where it is not there.
func (d *daemon) metric(series string) float64 {
	d.world.Helper()
	for line := range strings.Lines(d.do(http.MethodGet, "/metrics", "").text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), series+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			require.NoError(d.world, err)
			return n
		}
	}
	return -1
}

// readiness is what /readyz says.
type readiness struct {
	code    int
	Ready   bool
	Sources []struct {
		Name, State string
		Ready       bool
	}
}

func (d *daemon) readiness() readiness {
	d.world.Helper()
	a := d.do(http.MethodGet, "/readyz", "")
	r := readiness{code: a.code}
	require.NoError(d.world, json.Unmarshal([]byte(a.text), &r), a.text)
	return r
}

// visible is the text of a page without its tags.
func visible(page string) string {
	return unbroken(regexp.MustCompile(`(?s)<style.*?</style>|<script.*?</script>|<[^>]*>`).ReplaceAllString(page, " "))
}

// mustStop asks the program to end, and requires that it does so in good order.
func (d *daemon) mustStop() outcome {
	d.world.Helper()
	d.signal(syscall.SIGTERM)
	o := d.mustEnd(30 * time.Second)
	require.Equal(d.world, exitInStep, o.code, "%s", o)
	require.Empty(d.world, o.stdout)
	return o
}

// mustStayInStep stops the program, and requires that nothing is left to do.
func (d *daemon) mustStayInStep() {
	d.world.Helper()
	d.mustStop()
	d.world.mustInStep()
}
