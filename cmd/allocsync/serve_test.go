package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/fixtures"
)

const (
	hookSecret   = "a-secret-of-the-webhook"
	resyncToken  = "a-token-for-resyncing"
	pageToken    = "a-password-of-the-page"
	approveToken = "a-token-for-approvals"
)

// running is what a program that runs has written so far.
type running struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *running) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *running) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// served is `allocsync serve` in a lab.
type served struct {
	*lab
	t    *testing.T
	log  *running
	stop context.CancelFunc
	over chan struct{} // closed when it has ended, with code
	code int
	base string
	http *http.Client
}

// serve starts the program, with further lines below serve:, and waits until
// its first pass is done.
func (l *lab) serve(t *testing.T, lines ...string) *served {
	t.Helper()
	text, err := os.ReadFile(l.config)
	require.NoError(t, err)
	if !strings.Contains(string(text), "serve:") {
		l.write(t, string(text)+"serve:\n  listen: 127.0.0.1:0\n  schedule: \"\"\n  settle: 20ms\n  state_dir: "+filepath.Join(l.folder, "state")+
			"\n  netbox_secret: "+hookSecret+"\n  resync_token: "+resyncToken+"\n  page_token: "+pageToken+"\n  approve_token: "+approveToken+"\n  "+strings.Join(lines, "\n  ")+"\n")
	}
	ctx, stop := context.WithCancel(t.Context())
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	s := &served{lab: l, t: t, log: &running{}, stop: stop, over: make(chan struct{}), http: &http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"NETBOX_TOKEN": labToken, "ALLOCSYNC_CONFIG": l.config}[name]
		return v, ok
	}
	go func() {
		defer close(s.over)
		s.code = run(ctx, []string{"serve"}, env, strings.NewReader(""), io.Discard, s.log)
	}()
	t.Cleanup(s.end)
	address := regexp.MustCompile(`"listen":"([^"]+)"`)
	s.eventually("listens", func() bool { return address.MatchString(s.log.String()) })
	s.base = "http://" + address.FindStringSubmatch(s.log.String())[1]
	s.eventually("is ready", func() bool { code, _ := s.get("/readyz"); return code == http.StatusOK && s.passes() > 0 })
	return s
}

// end stops the program and waits for its end.
func (s *served) end() {
	s.stop()
	select {
	case <-s.over:
	case <-time.After(20 * time.Second):
		s.t.Error("serve does not end")
	}
}

func (s *served) eventually(what string, is func() bool) {
	s.t.Helper()
	require.Eventually(s.t, is, 20*time.Second, 5*time.Millisecond, "it never %s\n%s", what, s.log)
}

func (s *served) passes() int { return strings.Count(s.log.String(), `"message":"pass `) }

func (s *served) do(method, path, body string, header ...string) (int, string) {
	request, err := http.NewRequest(method, s.base+path, strings.NewReader(body))
	require.NoError(s.t, err)
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := s.http.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return response.StatusCode, string(text)
}

func (s *served) get(path string) (int, string) {
	return s.do(http.MethodGet, path, "", "Authorization", "Bearer "+pageToken)
}

func signed(body string) string {
	mac := hmac.New(sha512.New, []byte(hookSecret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

func TestServe(t *testing.T) {
	l := newLab(t)
	l.mustRun(t, exitInStep, "setup")
	l.lxd.Set(network("brnat", "10.1.2.1/24"), instance("u1", "10.1.2.10"))
	s := l.serve(t)
	require.Len(t, l.addresses(t), 2)

	// A hook with the token makes a pass; one without does not.
	l.lxd.Set(network("brnat", "10.1.2.1/24"), instance("u1", "10.1.2.10"), instance("u2", "10.1.2.11"))
	code, _ := s.do(http.MethodPost, "/hooks/resync", "")
	require.Equal(t, http.StatusUnauthorized, code)
	code, _ = s.do(http.MethodPost, "/hooks/resync?source=lab", "", "Authorization", "Bearer "+resyncToken)
	require.Equal(t, http.StatusAccepted, code)
	s.eventually("makes the row", func() bool { return len(l.addresses(t)) == 3 && s.passes() >= 2 })

	// The page, with its token only.
	code, _ = s.do(http.MethodGet, "/", "")
	require.Equal(t, http.StatusUnauthorized, code)
	code, text := s.get("/")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, text, "10.1.2.0/24")
	code, text = s.get("/search?q=10.1.2.11")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, text, "/1.0/instances/u2")
	_, text = s.get("/metrics")
	require.Contains(t, text, `allocsync_source_changes_total{action="create",source="lab"} `)

	s.end()
	require.Zero(t, s.code)
	for _, secret := range []string{hookSecret, resyncToken, pageToken, approveToken, labToken} {
		require.NotContains(t, s.log.String(), secret)
	}
}

// NetBox's word of what allocsync has just written makes no pass; that of a
// person's edit does, and the edit is put right.
func TestServePutsEditsRight(t *testing.T) {
	l := newLab(t)
	l.mustRun(t, exitInStep, "setup")
	l.lxd.Set(network("brnat", "10.1.2.1/24"), instance("u1", "10.1.2.10"))
	s := l.serve(t, "watch: false")
	s.eventually("ends the first pass", func() bool { return s.passes() == 1 })
	hook := func(id, request string) {
		body := fmt.Sprintf(`{"event":"updated","model":"ipaddress","object_type":"ipam.ipaddress","timestamp":%q,"request":{"id":%q,"user":"alice"},"data":{"id":%s,"custom_fields":{"sync_owner":"dc1/lab"}}}`,
			time.Now().UTC().Format(time.RFC3339Nano), request, id)
		code, text := s.do(http.MethodPost, "/hooks/netbox", body, "X-Hook-Signature", signed(body), "Content-Type", "application/json")
		require.Equal(t, http.StatusAccepted, code, text)
	}
	row := l.addresses(t)[1]
	id := fmt.Sprint(row["id"])
	l.call(t, http.MethodPatch, "/api/ipam/ip-addresses/"+id+"/", `{"custom_fields": {"used_by": "/edited/by/hand"}}`, nil)
	hook(id, "00000000-0000-4000-8000-00000000aaaa")
	s.eventually("puts it right", func() bool {
		return !strings.Contains(mustJSON(t, l.addresses(t)), "/edited/by/hand")
	})
	s.eventually("ends the pass", func() bool { return s.passes() == 2 })

	code, _ := s.do(http.MethodPost, "/hooks/netbox", "{}", "X-Hook-Signature", signed("{ }"))
	require.Equal(t, http.StatusUnauthorized, code)
	require.Equal(t, 2, s.passes())
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}

// A plan over the limits waits, also over a restart, and is carried out when a
// person approves it on the page.
func TestServeApproval(t *testing.T) {
	l := newLab(t)
	l.mustRun(t, exitInStep, "setup")
	rows := []fixtures.Row{instance("keep", "10.1.2.9")}
	for n := 10; n < 30; n++ {
		rows = append(rows, instance(fmt.Sprint("x", n), fmt.Sprintf("10.1.2.%d", n)))
	}
	l.lxd.Set(rows...)
	l.mustRun(t, exitInStep, "sync")
	l.lxd.Set(instance("keep", "10.1.2.9"))
	s := l.serve(t, "watch: false")
	require.Len(t, l.addresses(t), 21, "nothing is deleted without approval")
	s.end()

	s = l.serve(t, "watch: false")
	s.eventually("has looked again", func() bool { return s.passes() > 0 })

	// Meanwhile the plan becomes another one: what was approved is not done,
	// and the new plan waits.
	old := s.waiting()
	l.lxd.Set(instance("keep", "10.1.2.9"), instance("x10", "10.1.2.10"))
	s.approve(old)
	s.eventually("shows the new plan", func() bool { now := s.waiting(); return now != "" && now != old })
	require.Len(t, l.addresses(t), 21)

	s.approve(s.waiting())
	s.eventually("deletes what was approved", func() bool { return len(l.addresses(t)) == 2 })
	s.eventually("shows it", func() bool { return s.waiting() == "" })
}

// waiting returns the digest of the plan that waits on the page, "" for none.
func (s *served) waiting() string {
	_, text := s.get("/")
	digest := regexp.MustCompile(`name="digest" value="([0-9a-f]+)"`).FindStringSubmatch(text)
	if digest == nil {
		return ""
	}
	return digest[1]
}

// approve fills in the form for a plan and sends it.
func (s *served) approve(digest string) {
	s.t.Helper()
	_, text := s.get("/")
	form := url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		form.Set(m[1], m[2])
	}
	form.Set("digest", digest)
	form.Set("token", approveToken)
	code, text := s.do(http.MethodPost, "/approve", form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Authorization", "Bearer "+pageToken)
	require.Equal(s.t, http.StatusSeeOther, code, text)
}

// A new configuration is put in force; a wrong one is refused and the old one
// goes on.
func TestServeReload(t *testing.T) {
	l := newLab(t)
	l.mustRun(t, exitInStep, "setup")
	l.lxd.Set(instance("u1", "10.1.2.10"))
	s := l.serve(t)
	good, err := os.ReadFile(l.config)
	require.NoError(t, err)
	hangUp := func() { require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGHUP)) }

	l.write(t, string(good)+"rules: [{set: {status: nonsense}}]\n")
	hangUp()
	s.eventually("refuses it", func() bool { return strings.Contains(s.log.String(), "the old one stays in force") })
	_, text := s.get("/")
	require.Contains(t, text, "is refused")

	l.write(t, string(good)+"rules: [{set: {description: \"made by a rule\"}}]\n")
	hangUp()
	s.eventually("follows the new rule", func() bool { return strings.Contains(mustJSON(t, l.addresses(t)), "made by a rule") })
	_, text = s.get("/")
	require.NotContains(t, text, "is refused")
}

// What is wrong is said at once, and by name.
func TestServeRefuses(t *testing.T) {
	for lines, want := range map[string]string{
		"schedule: \"61 * * * *\"":                       `serve.schedule: schedule "61 * * * *": minute "61"`,
		"time_zone: Europe/Nowhere\n  schedule: @hourly": `Europe/Nowhere`,
		"listen: 127.0.0.1:1:2":                          "serve.listen",
	} {
		l := newLab(t)
		text, err := os.ReadFile(l.config)
		require.NoError(t, err)
		l.write(t, string(text)+"serve:\n  "+strings.ReplaceAll(lines, "@hourly", `"@hourly"`)+"\n")
		out := l.mustRun(t, exitFailed, "serve")
		require.Contains(t, out.stderr, want)
	}
}

// Two processes do not share a state folder.
func TestServeTwice(t *testing.T) {
	l := newLab(t)
	l.mustRun(t, exitInStep, "setup")
	l.serve(t)
	out := l.mustRun(t, exitFailed, "serve")
	require.Contains(t, out.stderr, "another")
}

// NetBox is away: the source is not in step any more, for whoever asks.
func TestServeWithoutNetBox(t *testing.T) {
	l := newLab(t)
	l.mustRun(t, exitInStep, "setup")
	l.lxd.Set(instance("u1", "10.1.2.10"))
	s := l.serve(t, "watch: false")
	_, text := s.get("/readyz")
	require.Contains(t, text, "in step")
	l.web.Close()
	code, _ := s.do(http.MethodPost, "/hooks/resync", "", "Authorization", "Bearer "+resyncToken)
	require.Equal(t, http.StatusAccepted, code)
	s.eventually("says that it failed", func() bool {
		_, text := s.get("/readyz")
		return strings.Contains(text, "failed") && !strings.Contains(text, "in step")
	})
}

// What waits for approval is the plan of the sources over their limits alone:
// others' changes, made meanwhile, do not void it.
func TestServeApprovalBesideOthers(t *testing.T) {
	l, other := newLab(t), newLab(t)
	text, err := os.ReadFile(l.config)
	require.NoError(t, err)
	theirs, err := os.ReadFile(other.config)
	require.NoError(t, err)
	_, source, _ := strings.Cut(string(theirs), "sources:\n")
	l.write(t, string(text)+strings.Replace(source, "name: lab", "name: cloud", 1))
	l.mustRun(t, exitInStep, "setup")
	rows := []fixtures.Row{}
	for n := 10; n < 30; n++ {
		rows = append(rows, instance(fmt.Sprint("x", n), fmt.Sprintf("10.1.2.%d", n)))
	}
	l.lxd.Set(rows...)
	other.lxd.Set(instance("c1", "10.9.9.1"))
	l.mustRun(t, exitInStep, "sync")
	l.lxd.Set(rows[0])
	other.lxd.Set(instance("c1", "10.9.9.1"), instance("c2", "10.9.9.2"))

	s := l.serve(t, "watch: false")
	require.Len(t, l.addresses(t), 22, "one is made, none deleted")
	s.eventually("waits", func() bool { return s.waiting() != "" })
	_, ready := s.get("/readyz")
	require.Contains(t, ready, "over limits")
	s.approve(s.waiting())
	s.eventually("deletes what was approved", func() bool { return len(l.addresses(t)) == 3 })
}

// A new configuration ends the pass in flight before it is in force: what it
// forbids does not go on under the old one.
func TestServeReloadEndsThePass(t *testing.T) {
	l := newLab(t)
	l.mustRun(t, exitInStep, "setup")
	rows := []fixtures.Row{}
	for n := range 120 {
		rows = append(rows, instance(fmt.Sprint("x", n), fmt.Sprintf("10.1.2.%d", n+1)))
	}
	l.lxd.Set(rows...)
	l.mustRun(t, exitInStep, "sync")
	text, err := os.ReadFile(l.config)
	require.NoError(t, err)
	l.write(t, strings.Replace(strings.Replace(string(text), "retries: 0", "retries: 0\n  batch: 2", 1), "sources:", "limits: {share: 1}\nsources:", 1))
	s := l.serve(t, "watch: false")
	l.slow.Store(int64(50 * time.Millisecond))
	l.lxd.Set(rows[:40]...)
	code, _ := s.do(http.MethodPost, "/hooks/resync", "", "Authorization", "Bearer "+resyncToken)
	require.Equal(t, http.StatusAccepted, code)
	s.eventually("deletes", func() bool { return strings.Contains(s.log.String(), `"action":"delete","status":"done"`) })
	text, err = os.ReadFile(l.config)
	require.NoError(t, err)
	l.write(t, strings.Replace(string(text), "kind: lxd", "kind: lxd\n    allow: {delete: false}", 1))
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
	s.eventually("is in force", func() bool { return strings.Contains(s.log.String(), "a new configuration is in force") })
	left := len(l.addresses(t))
	require.Greater(t, left, 40, "too quick for this test")
	s.eventually("has made a pass under the new one", func() bool { return strings.Contains(s.log.String(), `"trigger":"start: new configuration","lab"`) })
	require.Len(t, l.addresses(t), left)
}

// A source that dwindles in steps, each within its limit, is held up all the
// same: passes come as often as it changes.
func TestServeDwindling(t *testing.T) {
	l := newLab(t)
	l.mustRun(t, exitInStep, "setup")
	rows := []fixtures.Row{}
	for n := range 40 {
		rows = append(rows, instance(fmt.Sprint("x", n), fmt.Sprintf("10.1.2.%d", n+1)))
	}
	l.lxd.Set(rows...)
	s := l.serve(t, "watch: false")
	for left := 36; left >= 20; left -= 4 { // 10 % each
		before := s.passes()
		l.lxd.Set(rows[:left]...)
		code, _ := s.do(http.MethodPost, "/hooks/resync", fmt.Sprint(left), "Authorization", "Bearer "+resyncToken)
		require.Equal(t, http.StatusAccepted, code)
		s.eventually("makes a pass", func() bool { return s.passes() > before })
	}
	require.Len(t, l.addresses(t), 28, "30 % of 40 and no more")
	s.approve(s.waiting())
	s.eventually("does what was approved", func() bool { return len(l.addresses(t)) == 20 })
}

// The prefix that gives an address its length may be stated by another source:
// a pass that does not ask that one leaves the length as it is.
func TestServeMasks(t *testing.T) {
	l, other := newLab(t), newLab(t)
	text, err := os.ReadFile(l.config)
	require.NoError(t, err)
	theirs, err := os.ReadFile(other.config)
	require.NoError(t, err)
	_, source, _ := strings.Cut(string(theirs), "sources:\n")
	l.write(t, string(text)+strings.Replace(source, "name: lab", "name: nets", 1))
	l.mustRun(t, exitInStep, "setup")
	l.call(t, http.MethodPost, "/api/ipam/prefixes/", `{"prefix": "10.1.2.0/24"}`, nil) // a person's: the source's is held
	l.lxd.Set(instance("u1", "10.1.2.10"))
	other.lxd.Set(network("lan", "10.1.2.1/24"))
	s := l.serve(t, "watch: false")
	lengths := func() string {
		return regexp.MustCompile(`"address":"10\.1\.2\.10/\d+"`).FindString(mustJSON(t, l.addresses(t)))
	}
	require.Equal(t, `"address":"10.1.2.10/24"`, lengths())
	s.eventually("is done", func() bool { return s.passes() == 1 })
	code, _ := s.do(http.MethodPost, "/hooks/resync?source=lab", "", "Authorization", "Bearer "+resyncToken)
	require.Equal(t, http.StatusAccepted, code)
	s.eventually("has made the pass", func() bool { return s.passes() == 2 })
	require.Equal(t, `"address":"10.1.2.10/24"`, lengths())
	other.lxd.Fail(http.StatusInternalServerError)
	l.mustRun(t, exitPartly, "sync")
	require.Equal(t, `"address":"10.1.2.10/24"`, lengths())
}
