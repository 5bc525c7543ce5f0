package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"
)

// approval is the form of the plan that waits, filled in with a token.
func (d *daemon) approval(token string) url.Values {
	d.world.Helper()
	text := d.page("/")
	form := url.Values{"token": {token}}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		form.Set(m[1], m[2])
	}
	require.NotEmpty(d.world, form.Get("digest"), visible(text))
	return form
}

func (d *daemon) approve(form url.Values, headers ...string) answer {
	d.world.Helper()
	headers = append(headers, "Content-Type", "application/x-www-form-urlencoded", "Authorization", "Bearer "+d.keyring.page)
	return d.do(http.MethodPost, "/approve", form.Encode(), headers...)
}

// A plan over the limits waits on the page, over a restart too; who has the
// token for it, and looked at exactly this plan, has it carried out.
func TestServeApproval(t *testing.T) {
	const (
		trips   = `allocsync_source_limit_trips_total{source="lab"}`
		over    = `allocsync_source_over_limits{source="lab"}`
		deletes = `allocsync_source_changes_total{action="delete",source="lab"}`
	)
	w := newWorld(t)
	lxd := newLXD(t, append(instances(12), br0())...)
	k := w.served([]string{source("lab", lxd.socket)})
	d := w.mustServe(k)
	d.mustPass(1)
	require.Zero(t, d.metric(trips))
	success := d.metric(`allocsync_source_last_success_timestamp_seconds{source="lab"}`)
	before := w.rows()

	lxd.lists(append(instances(7), br0())...)
	d.resync()
	require.Equal(t, "over limits", d.mustPass(2).Outcome)
	require.EqualValues(t, 1, d.metric(trips))
	require.EqualValues(t, 1, d.metric(over))
	require.Equal(t, success, d.metric(`allocsync_source_last_success_timestamp_seconds{source="lab"}`))
	page := visible(d.page("/"))
	require.Contains(t, page, "Needs a person")
	require.Contains(t, page, "5 rows of 14 would be changed")
	require.Equal(t, before, w.rows())
	digest := d.approval("").Get("digest")
	require.Equal(t, digest, d.said("a source is over its limits")[0].Digest)
	d.mustStop()

	d = w.mustServe(k)
	d.mustPass(1)
	require.Equal(t, digest, d.approval("").Get("digest"))
	require.Equal(t, http.StatusForbidden, d.approve(d.approval("not the token")).code)
	require.Equal(t, http.StatusForbidden, d.approve(d.approval(k.page)).code, "the token to read is not the one to approve")
	unread := d.approval(k.approve)
	unread.Set("form", "x")
	require.Equal(t, http.StatusForbidden, d.approve(unread).code, "a form of another browser")
	require.Equal(t, http.StatusForbidden, d.approve(d.approval(k.approve), "Origin", "https://elsewhere.example").code)
	form := d.approval(k.approve)
	require.Equal(t, http.StatusUnauthorized, d.do(http.MethodPost, "/approve", form.Encode(), "Content-Type", "application/x-www-form-urlencoded").code)
	d.quiet(1, time.Second)
	require.Equal(t, before, w.rows())

	// Meanwhile another instance goes: what was looked at is not what would be done.
	lxd.lists(append(instances(6), br0())...)
	got := d.approve(d.approval(k.approve))
	require.Equal(t, http.StatusSeeOther, got.code, got.text)
	d.mustPass(2)
	require.Equal(t, "failed", d.passes()[1].Outcome)
	require.Equal(t, before, w.rows())
	require.Equal(t, "over limits", d.mustPass(3).Outcome, "another pass looks what the plan is now")
	require.NotEqual(t, digest, d.approval("").Get("digest"))

	got = d.approve(d.approval(k.approve))
	require.Equal(t, http.StatusSeeOther, got.code, got.text)
	p := d.mustPass(4)
	require.Equal(t, "approval: digest "+d.said("a plan was approved")[1].Digest, p.Trigger)
	require.Equal(t, 6, p.Lab.Deleted)
	require.Len(t, w.rows(), len(before)-6)
	require.EqualValues(t, 6, d.metric(deletes))
	require.Zero(t, d.metric(over))
	require.NotContains(t, d.page("/"), `name="digest"`)
	require.Contains(t, visible(d.page("/")), "In step")
	d.mustStayInStep()
}

// authority is a CA of the test's own.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T, folder string) authority {
	t.Helper()
	a := authority{t: t, file: filepath.Join(folder, "ca.pem")}
	a.cert, a.key = a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "e2e"}, IsCA: true, BasicConstraintsValid: true,
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}, a.file)
	return a
}

func (a authority) sign(template *x509.Certificate, file string) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	require.NoError(a.t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	require.NoError(a.t, os.WriteFile(file, text, 0o600))
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	text = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	require.NoError(a.t, os.WriteFile(file+".key", text, 0o600))
	lines := strings.Split(string(text), "\n")
	secrets.add(lines[1])
	return cert, key
}

// host writes a certificate of 127.0.0.1 and its key.
func (a authority) host(serial int64, file string) {
	a.t.Helper()
	a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "allocsync"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, file)
}

// HTTPS with a certificate of an authority of one's own, and with the next one
// as soon as it is there.
func TestServeTLS(t *testing.T) {
	w := newWorld(t)
	ca := newAuthority(t, w.folder)
	file := filepath.Join(w.folder, "tls.pem")
	ca.host(101, file)
	k := w.served([]string{source("lab", newLXD(t, br0()).socket)}, "tls_cert_file: "+file, "tls_key_file: tls.pem.key", "metrics_listen: 127.0.0.1:0")
	d := w.mustServe(k)
	d.mustPass(1)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	var serial *big.Int
	d.http.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		RootCAs: pool, MinVersion: tls.VersionTLS12,
		VerifyConnection: func(s tls.ConnectionState) error { serial = s.PeerCertificates[0].SerialNumber; return nil },
	}}
	plain := d.base
	d.base = strings.Replace(d.base, "http://", "https://", 1)
	require.Contains(t, d.page("/"), "In step")
	require.EqualValues(t, 101, serial.Int64())
	require.Equal(t, http.StatusNotFound, d.do(http.MethodGet, "/metrics", "").code, "they have an address of their own")
	answer, err := http.Get(plain + "/")
	require.NoError(t, err)
	_ = answer.Body.Close()
	require.Equal(t, http.StatusBadRequest, answer.StatusCode, "nothing is answered without TLS")
	_, err = http.Get(d.base + "/healthz") //nolint:bodyclose // there is none
	require.ErrorContains(t, err, "unknown authority")

	ca.host(102, file)
	mustBecome(t, 10*time.Second, "the new certificate is served", func() bool {
		require.Equal(t, http.StatusOK, d.do(http.MethodGet, "/healthz", "").code)
		return serial.Int64() == 102
	})
	require.NoError(t, os.WriteFile(file, []byte("no certificate"), 0o600))
	mustBecome(t, 10*time.Second, "a file that is none is told of", func() bool {
		require.Equal(t, http.StatusOK, d.do(http.MethodGet, "/healthz", "").code)
		return len(d.said("the new TLS certificate cannot be used")) > 0
	})
	require.EqualValues(t, 102, serial.Int64())
	d.mustStop()
}

// The metrics are as Prometheus wants them, and neither they nor any page, nor
// the log, nor what is kept, hold a secret.
func TestServeMetricsAndSecrets(t *testing.T) {
	w := newWorld(t)
	k := w.served([]string{source("lab", newLXD(t, append(instances(3), br0())...).socket)})
	d := w.mustServe(k)
	d.mustPass(1)
	text := d.do(http.MethodGet, "/metrics", "").text // do looks for secrets
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	require.NoError(t, err)
	for _, p := range problems {
		require.False(t, strings.HasPrefix(p.Metric, "allocsync_"), "%+v", p)
	}
	if promtool, err := exec.LookPath("promtool"); err == nil {
		cmd := exec.Command(promtool, "check", "metrics")
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	for series, want := range map[string]float64{
		`allocsync_source_allocations{source="lab"}`:                   5,
		`allocsync_source_changes_total{action="create",source="lab"}`: 5,
		`allocsync_source_changes_total{action="delete",source="lab"}`: 0,
		`allocsync_source_failed_rows_total{source="lab"}`:             0,
		`allocsync_source_held_rows{source="lab"}`:                     0,
		`allocsync_netbox_requests_total{method="POST",outcome="ok"}`:  2,
		`allocsync_passes_total{outcome="applied",trigger="start"}`:    1,
		`allocsync_state_usable`:                                       1,
		`allocsync_pass_running`:                                       0,
		`allocsync_next_run_timestamp_seconds`:                         0,
		`allocsync_config_last_reload_successful`:                      1,
		`allocsync_pass_duration_seconds_count`:                        1,
		`allocsync_source_limit_trips_total{source="lab"}`:             0,
	} {
		require.Equal(t, want, d.metric(series), series)
	}
	require.InDelta(t, time.Now().Unix(), d.metric(`allocsync_source_last_success_timestamp_seconds{source="lab"}`), 60)

	for _, path := range []string{"/", "/held", "/changes", "/passes", "/passes/1", "/networks", "/search?q=10.81.3.1", "/readyz", "/healthz"} {
		d.page(path)
	}
	require.Contains(t, visible(d.page("/search?q=10.81.3.2")), "/1.0/instances/i2")
	require.Contains(t, visible(d.page("/networks")), "10.81.0.0/16")
	for _, wrong := range []string{k.approve, k.hook, w.token, ""} {
		require.Equal(t, http.StatusUnauthorized, d.do(http.MethodGet, "/", "", "Authorization", "Bearer "+wrong).code)
	}
	d.do(http.MethodPost, "/hooks/resync?token="+k.resyncToken, "")
	d.do(http.MethodPost, "/hooks/netbox", k.hook, "X-Hook-Signature", k.hook, "Authorization", "Bearer "+k.approve)
	d.do(http.MethodGet, "/search?q="+k.page, "", "Authorization", "Bearer "+k.resyncToken)
	d.do(http.MethodGet, "/"+k.approve, "")
	d.mustStop() // looks through the log
	require.NoError(t, filepath.WalkDir(w.stateDir(), func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			mustHoldNoSecret(t, path, mustRead(t, path))
		}
		return err
	}))
}
