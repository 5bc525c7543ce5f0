package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"allocsync/config"
	"allocsync/metrics"
	"allocsync/page"
	"allocsync/state"
	"allocsync/sync/worker"
	"allocsync/webhook"
)

// serveFlags are the flags of `allocsync serve`.
type serveFlags struct {
	stateDir string
}

func (p *program) serveCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Stay up: sync on a schedule, when a hook asks, and when a source tells of a change",
		Long: `serve stays up and keeps NetBox in step: on the schedules of the configuration,
when NetBox or somebody else posts to a hook, and when a source that can do so
tells of a change. It answers on the address serve.listen: a page that shows what
it does, /metrics, /healthz and /readyz, and /v1/reservations for programs.

SIGTERM and SIGINT end it, once the batch of writes in flight has been answered.
SIGHUP, or a change of the file, makes it read the configuration again; one that
is wrong is refused, and the old one stays in force.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.serve(cmd.Context(), f) },
	}
	cmd.Flags().StringVar(&f.stateDir, "state-dir", "", "folder for the history of passes and the ledger of reservations (overrides serve.state_dir)")
	return cmd
}

// service is the running worker.
type service struct {
	program *program
	log     zerolog.Logger
	store   *state.Store // nil: nothing is remembered
	initial config.Serve // as it was at the start; some of it is never read again
	metrics *metrics.Metrics
	loop    *worker.Loop
	server  *webhook.Server
	page    atomic.Pointer[http.Handler]

	mu         sync.Mutex
	generation *generation       // of the configuration in force
	board      board             // what the page shows
	approved   map[string]bool   // digests that wait for their pass
	notices    map[string]string // by what they are about
	cached     *page.View        // the last one made; nil where it is out of date

	passing sync.Mutex // held while a pass runs, and while a configuration is put in force
	runs    int        // counted for the logs; guarded by passing
}

// generation is a configuration in force, and what runs because of it.
type generation struct {
	*setting
	schedules []plannedTicks
	over      context.Context // ends with it
	stop      context.CancelFunc
	running   sync.WaitGroup
}

func (p *program) serve(ctx context.Context, f serveFlags) error {
	logger := zerolog.New(zerolog.SyncWriter(p.stderr)).With().Timestamp().Logger()
	hangup := make(chan os.Signal, 1) // from now on, to the end: by default it would kill the program
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	s := &service{
		program: p, log: logger,
		metrics: metrics.New(programVersion()), approved: map[string]bool{}, notices: map[string]string{},
	}
	set, schedules, err := s.load()
	if err != nil {
		return err
	}
	if f.stateDir == "" {
		f.stateDir = set.config.Serve.StateDir
	}
	if err := s.openState(f.stateDir); err != nil {
		return err
	}
	defer s.closeState()
	s.initial = set.config.Serve
	s.loop = &worker.Loop{Run: s.run, Settle: set.config.Serve.Settle, Longest: 4 * set.config.Serve.Settle}
	if s.server, err = webhook.Open(s.webhookOptions(set.config)); err != nil {
		return err
	}
	s.warnOpen(set.config.Serve)
	return s.work(ctx, set, schedules, hangup)
}

// load reads the configuration and what of it only serve uses.
func (s *service) load() (*setting, []plannedTicks, error) {
	set, err := s.program.load(s.program.configPath, newLogged(s.log, s.program.stderr).retry)
	if err != nil {
		return nil, nil, err
	}
	schedules, err := ticksOf(set)
	return set, schedules, err
}

// work runs until ctx ends, and returns when nothing runs any more.
func (s *service) work(ctx context.Context, set *setting, schedules []plannedTicks, hangup <-chan os.Signal) error {
	s.adopt(ctx, set, schedules)
	s.recall()
	notify := newNotifier(s.program.env)
	var running sync.WaitGroup
	serving, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, 1)
	running.Go(func() { failed <- s.server.Serve(serving) })
	running.Go(func() { s.loop.Serve(serving) })
	running.Go(func() { s.watchConfig(serving, hangup, notify) })
	s.loop.Want(worker.Trigger{Kind: worker.KindStart})
	s.log.Info().Str("version", programVersion()).Str("listen", s.server.Addr()).Str("metrics_listen", s.server.MetricsAddr()).Msg("allocsync is up")
	notify.ready()

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	notify.stopping()
	s.log.Info().Msg("allocsync ends; a batch of writes in flight is waited for")
	stop()
	running.Wait()
	s.abandon()
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// adopt puts a configuration in force: schedules, watchers, hooks and page. A
// pass under the old one ends its batch first, and no other begins meanwhile:
// whoever takes a right away from a source expects that it is gone.
func (s *service) adopt(ctx context.Context, set *setting, schedules []plannedTicks) {
	s.abandon()
	s.passing.Lock()
	defer s.passing.Unlock()
	if old := s.current(); old != nil {
		set.client.Inherit(old.client)
	}
	ctx, stop := context.WithCancel(ctx)
	set.ledger = ledgerOf(s.store)
	g := &generation{setting: set, schedules: schedules, over: ctx, stop: stop}
	list := names(set.config)
	s.mu.Lock()
	s.generation, s.cached = g, nil
	s.board.keep(set)
	s.mu.Unlock()
	s.loop.Configure(list)
	s.metrics.Configure(list)
	s.metrics.Reloaded(true, time.Now())
	s.server.Configure(secretsOf(set.config.Serve), list)
	handler := page.New(page.Options{
		View: s.view, Search: s.search, Approve: s.approve,
		ApproveToken: set.config.Serve.ApproveToken.Reveal(), ReadToken: set.config.Serve.PageToken.Reveal(),
	})
	s.page.Store(&handler)
	s.keepState(list)
	for _, t := range schedules {
		g.running.Go(func() {
			t.schedule.Serve(ctx, set.config.Serve.Jitter, func(time.Time) { s.loop.Want(t.trigger()) })
		})
	}
	if set.config.Serve.Watch {
		s.watchSources(ctx, g)
	}
	s.showNext()
}

// abandon ends what runs because of the configuration in force.
func (s *service) abandon() {
	if g := s.current(); g != nil {
		g.stop()
		g.running.Wait()
		for _, source := range g.sources {
			s.notice("watch "+source.Name, "")
		}
	}
}

func (s *service) current() *generation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.generation
}

// warnOpen says what somebody may not have meant.
func (s *service) warnOpen(c config.Serve) {
	if c.Listen == "" || loopback(c.Listen) {
		return
	}
	if c.PageToken.Reveal() == "" {
		s.log.Warn().Str("listen", c.Listen).Msg("whoever reaches this address may read the page: set serve.page_token, or listen on 127.0.0.1")
	}
	if c.TLSCertFile == "" {
		s.log.Warn().Str("listen", c.Listen).Msg("this address is answered without TLS: set serve.tls_cert_file and serve.tls_key_file, or listen on 127.0.0.1 behind a proxy")
	}
}

// notice puts a line at the top of the page, or takes it away where text is "".
func (s *service) notice(about, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cached = nil
	if text == "" {
		delete(s.notices, about)
		return
	}
	s.notices[about] = text
}
