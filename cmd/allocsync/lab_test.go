package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/fixtures"
	"allocsync/netbox/netboxtest"
)

const labToken = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e7beef"

// lab is a NetBox, an LXD server whose list a test may change, and a
// configuration file that names both.
type lab struct {
	netbox *netboxtest.Server
	web    *httptest.Server // that answers for it
	slow   atomic.Int64     // nanoseconds that it takes for each write
	url    string
	lxd    *fixtures.List
	folder string
	config string
}

func instance(name, address string) fixtures.Row {
	return fixtures.Row{Addresses: address + "/32", UsedBy: "/1.0/instances/" + name, Type: "instance", MAC: "00:16:3e:00:00:" + fmt.Sprintf("%02x", len(name)+int(name[0])%100)}
}

func network(name, address string) fixtures.Row {
	return fixtures.Row{Addresses: address, UsedBy: "/1.0/networks/" + name, Type: "network"}
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{folder: t.TempDir(), lxd: &fixtures.List{}}
	l.netbox = netboxtest.New(netboxtest.Options{Token: labToken})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			time.Sleep(time.Duration(l.slow.Load()))
		}
		l.netbox.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	l.web, l.url = web, web.URL

	// A unix socket's path may be 108 bytes long; t.TempDir's is often longer.
	short, err := os.MkdirTemp("", "lab")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	socket := filepath.Join(short, "s")
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(l.lxd)
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)

	l.config = filepath.Join(l.folder, "allocsync.yaml")
	l.write(t, fmt.Sprintf(`installation: dc1
netbox:
  url: %s
  token: ${NETBOX_TOKEN}
  retries: 0
sources:
  - name: lab
    kind: lxd
    options: {url: "unix://%s"}
`, l.url, socket))
	return l
}

func (l *lab) write(t *testing.T, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(l.config, []byte(text), 0o600))
}

// outcome is what one call of the program said.
type outcome struct {
	code           int
	stdout, stderr string
}

// run calls the program as a user does who has set the environment.
func (l *lab) run(ctx context.Context, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"NETBOX_TOKEN": labToken, "ALLOCSYNC_CONFIG": l.config}[name]
		return v, ok
	}
	code := run(ctx, args, env, strings.NewReader(""), &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

func (l *lab) mustRun(t *testing.T, code int, args ...string) outcome {
	t.Helper()
	out := l.run(t.Context(), args...)
	require.Equal(t, code, out.code, "allocsync %s\n%s\n%s", strings.Join(args, " "), out.stdout, out.stderr)
	return out
}

// rows asks NetBox for its addresses.
func (l *lab) addresses(t *testing.T) []map[string]any {
	t.Helper()
	var list struct{ Results []map[string]any }
	l.call(t, http.MethodGet, "/api/ipam/ip-addresses/", "", &list)
	return list.Results
}

func (l *lab) call(t *testing.T, method, path, body string, into any) {
	t.Helper()
	request, err := http.NewRequest(method, l.url+path, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Token "+labToken)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	require.Less(t, response.StatusCode, 300)
	if into != nil {
		require.NoError(t, json.NewDecoder(response.Body).Decode(into))
	}
}
