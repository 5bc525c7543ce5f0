package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"allocsync/config"
	"allocsync/mapping"
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
people made by hand, and a recorded LXD server. Then it does what the first days
with allocsync look like: a dry run, the sync, a second pass that finds nothing to
do, and a pass after something has changed. Nothing is installed, and nothing
leaves this machine.

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
	d.world.addHandMadeRows()

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
	d.world.nextDay()
	d.title("allocsync sync", "a day later: dns1 has another address, ci-runner2 is gone")
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
