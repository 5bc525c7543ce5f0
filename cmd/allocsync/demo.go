package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"allocsync/config"
	"allocsync/fixtures"
	"allocsync/mapping"
	"allocsync/netbox/netboxtest"
	"allocsync/report"
	"allocsync/sync/worker"
)

// demoConfig is the demo's configuration file: the same keys as anybody's.
const demoConfig = `
installation: demo
netbox:
  url: ${DEMO_NETBOX_URL}
  token: ${DEMO_NETBOX_TOKEN}
sources:
  - name: lab
    kind: lxd
    options:
      url: unix://${DEMO_SOCKET}
rules:
  - name: what a network serves
    match: {type: [network-forward, network-load-balancer]}
    set: {role: vip}
  - name: instances have names
    match: {type: instance}
    set: {dns_name: "{name}.{project}.example.org"}
`

// demoToken opens the embedded NetBox, which nobody else can reach for longer
// than the demo runs.
const demoToken = "0123456789abcdef0123456789abcdef01234567"

func (p *program) demoCommand() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole job on an embedded NetBox and recorded LXD answers",
		Long: `demo starts a NetBox that lives in this process's memory, with a few rows that
people made by hand, and a recorded LXD server. Then it does what a first day
with allocsync looks like: a dry run, the sync, and a second pass that finds
nothing to do. Nothing is installed, and nothing leaves this machine.

--output demo.html writes the report of the dry run to a file as well.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.demo(cmd.Context(), out) },
	}
	out.flags(cmd.Flags())
	return cmd
}

func (p *program) demo(ctx context.Context, out output) error {
	if err := out.check(); err != nil {
		return err
	}
	world, err := openDemoWorld(ctx)
	if err != nil {
		return fmt.Errorf("start demo: %w", err)
	}
	defer world.close()
	progress := newProgress(p.stderr)
	var rules []mapping.Rule
	c, err := config.Parse("demo", []byte(demoConfig), world.env, kinds(), &rules)
	if err != nil {
		return fmt.Errorf("start demo: %w", err)
	}
	s, err := wire(c, rules, progress.retry)
	if err != nil {
		return fmt.Errorf("start demo: %w", err)
	}
	d := &demo{program: p, setting: s, ctx: ctx, world: world, out: out}
	return d.run()
}

// demo is one showing.
type demo struct {
	*program
	setting *setting
	ctx     context.Context
	world   *demoWorld
	out     output
}

func (d *demo) run() error {
	d.title("allocsync setup", "makes the custom fields that allocsync keeps its marks in")
	steps, err := d.setting.client.Setup(d.ctx, false)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.stdout, "%d custom fields made.\n", len(steps))
	if err := d.world.addHandMadeRows(); err != nil {
		return err
	}

	d.title("allocsync sync --dry-run", "says what a first pass would do, and does nothing")
	if err := d.pass(true, d.out.path != ""); err != nil {
		return err
	}
	d.title("allocsync sync", "does it")
	if err := d.pass(false, false); err != nil {
		return err
	}
	d.title("allocsync sync", "again: nothing is left to do")
	if err := d.pass(false, false); err != nil {
		return err
	}
	_, err = fmt.Fprint(d.stdout, demoNext)
	return err
}

const demoNext = `
That was the whole job. Next, with your own NetBox and LXD or Incus:

  1. Write allocsync.yaml:

       installation: dc1                      # your rows belong to dc1/SOURCE
       netbox:
         url: https://netbox.example.org
         token: ${NETBOX_TOKEN}
       sources:
         - name: lab
           kind: lxd
           options: {url: "unix:///var/lib/incus/unix.socket"}

  2. allocsync setup             makes the custom fields in NetBox
  3. allocsync check             tries everything, and says how to mend what is wrong
  4. allocsync sync --dry-run    says what would change
`

func (d *demo) title(command, does string) {
	fmt.Fprintf(d.stdout, "\n── %s ── %s\n\n", command, does)
}

// pass is one pass with its report on standard output; also writes it to the
// file that the user asked for.
func (d *demo) pass(dryRun, file bool) error {
	pass := d.setting.pass(nil, nil)
	pass.Phase, pass.Apply.Progress, pass.Apply.Log = nil, nil, nil
	r := reporter{setting: d.setting, started: time.Now(), dryRun: dryRun, before: d.setting.client.Stats(), usage: file}
	proposal, err := pass.Plan(d.ctx)
	if err != nil {
		return err
	}
	if dryRun {
		return d.show(r.report(proposal, nil), file)
	}
	return d.carry(pass, proposal, r)
}

func (d *demo) carry(pass *worker.Pass, proposal *worker.Proposal, r reporter) error {
	result := pass.Carry(d.ctx, proposal)
	if err := d.show(r.report(proposal, &result), false); err != nil {
		return err
	}
	return result.Err
}

func (d *demo) show(r report.Report, file bool) error {
	if err := report.Table(d.stdout, r, d.presentation()); err != nil {
		return err
	}
	if !file {
		return nil
	}
	return d.write(d.out, r)
}

// demoWorld is the embedded NetBox and the recorded LXD server.
type demoWorld struct {
	netbox  *netboxtest.Server
	url     string
	folder  string
	servers []*http.Server
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
	w.serve(unix, fixtures.LXD("demo"))
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

// addHandMadeRows puts what people have entered by hand into the NetBox, over
// its API, as they would.
func (w *demoWorld) addHandMadeRows() error {
	rows := []struct{ path, body string }{
		{"prefixes", `{"prefix": "192.0.2.192/26", "description": "Office, entered by hand"}`},
		{"ip-addresses", `{"address": "192.0.2.193/26", "dns_name": "gw.office.example.org"}`},
		{"ip-addresses", `{"address": "198.51.100.12/24", "dns_name": "www.example.org", "description": "Please ask Ana before changing"}`},
		{"ip-addresses", `{"address": "192.0.2.130/32", "custom_fields": {"used_by": "/1.0/networks/edge/forwards/192.0.2.130", "sync_owner": "dc2/lxd", "sync_type": "network-forward"}}`},
	}
	for _, row := range rows {
		if err := w.post("/api/ipam/"+row.path+"/", row.body); err != nil {
			return err
		}
	}
	return nil
}

func (w *demoWorld) post(path, body string) error {
	request, err := http.NewRequest(http.MethodPost, w.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Token "+demoToken)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil && response.StatusCode != http.StatusCreated {
		var text bytes.Buffer
		_ = json.Compact(&text, answer) // what cannot be compacted is shown as it is not: the status tells
		err = errors.New(response.Status + ": " + text.String())
	}
	return err
}
