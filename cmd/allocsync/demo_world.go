package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"allocsync/fixtures"
	"allocsync/netbox/netboxtest"
)

// demoWorld is the embedded NetBox and the recorded LXD server.
type demoWorld struct {
	netbox  *netboxtest.Server
	url     string
	folder  string
	servers []*http.Server
	later   atomic.Bool // a day has passed at the LXD server
}

func openDemoWorld(ctx context.Context) (*demoWorld, error) {
	folder, err := os.MkdirTemp("", "allocsync-demo-")
	if err != nil {
		return nil, err
	}
	w := &demoWorld{folder: folder, netbox: netboxtest.New(netboxtest.Options{Version: netboxtest.V47, Token: demoToken})}
	var listen net.ListenConfig
	tcp, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		w.close()
		return nil, err
	}
	w.url = "http://" + tcp.Addr().String()
	w.serve(tcp, w.netbox)
	unix, err := listen.Listen(ctx, "unix", w.socket())
	if err != nil {
		w.close()
		return nil, err
	}
	w.serve(unix, w.lxd())
	return w, nil
}

func (w *demoWorld) socket() string { return filepath.Join(w.folder, "unix.socket") }

func (w *demoWorld) serve(l net.Listener, h http.Handler) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	w.servers = append(w.servers, server)
	go func() { _ = server.Serve(l) }() // ends with ErrServerClosed when the demo does
}

func (w *demoWorld) close() {
	for _, s := range w.servers {
		_ = s.Close() // nothing is left to lose
	}
	_ = os.RemoveAll(w.folder)
}

func (w *demoWorld) env(name string) (string, bool) {
	v, ok := map[string]string{
		"DEMO_NETBOX_URL":   w.url,
		"DEMO_NETBOX_TOKEN": demoToken,
		"DEMO_SOCKET":       w.socket(),
	}[name]
	return v, ok
}

// addHandMadeRows puts what people have entered by hand into the NetBox, with
// all the checks that their entries pass.
func (w *demoWorld) addHandMadeRows() {
	rows := []struct{ path, body string }{
		{"prefixes", `{"prefix": "192.0.2.192/26", "description": "Office, entered by hand"}`},
		{"ip-addresses", `{"address": "192.0.2.193/26", "dns_name": "gw.office.example.org"}`},
		{"ip-addresses", `{"address": "198.51.100.12/24", "dns_name": "www.example.org", "description": "Please ask Ana before changing"}`},
		{"ip-addresses", `{"address": "192.0.2.130/32", "custom_fields": {"used_by": "/1.0/networks/edge/forwards/192.0.2.130", "sync_owner": "dc2/lxd", "sync_type": "network-forward"}}`},
	}
	for _, row := range rows {
		w.netbox.MustPOST("/api/ipam/"+row.path+"/", json.RawMessage(row.body))
	}
}

// nextDay lets time pass at the LXD server.
func (w *demoWorld) nextDay() { w.later.Store(true) }

// lxd serves the recorded answers, and after nextDay a list in which one
// instance has another address and one is gone.
func (w *demoWorld) lxd() http.Handler {
	recorded := fixtures.LXD("demo")
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !w.later.Load() || r.URL.Path != "/1.0/network-allocations" {
			recorded.ServeHTTP(rw, r)
			return
		}
		today := answerBody{header: http.Header{}}
		recorded.ServeHTTP(&today, r)
		changed, err := tomorrow(today.Bytes())
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write(changed) // a client that has gone needs no answer
	})
}

// answerBody keeps what a handler writes.
type answerBody struct {
	bytes.Buffer
	header http.Header
}

func (a *answerBody) Header() http.Header { return a.header }
func (a *answerBody) WriteHeader(int)     {}

// tomorrow is the list of allocations a day later.
func tomorrow(list []byte) ([]byte, error) {
	var answer map[string]any
	if err := json.Unmarshal(list, &answer); err != nil {
		return nil, err
	}
	var left []any
	rows, _ := answer["metadata"].([]any)
	for _, element := range rows {
		row, _ := element.(map[string]any)
		switch {
		case row["used_by"] == "/1.0/instances/ci-runner2":
			continue
		case row["addresses"] == "10.40.0.53/32":
			row["addresses"] = "10.40.0.54/32"
		}
		left = append(left, row)
	}
	answer["metadata"] = left
	return json.Marshal(answer)
}
