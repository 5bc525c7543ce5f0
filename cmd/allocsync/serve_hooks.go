package main

import (
	"net/http"

	"allocsync/config"
	"allocsync/sync/worker"
	"allocsync/webhook"
)

func (s *service) webhookOptions(c *config.Config) webhook.Options {
	return webhook.Options{
		Listen: c.Serve.Listen, MetricsListen: c.Serve.MetricsListen,
		TLSCertFile: c.Serve.TLSCertFile, TLSKeyFile: c.Serve.TLSKeyFile,
		Installation: c.Installation, Sources: names(c), Secrets: secretsOf(c.Serve),
		Page:    http.HandlerFunc(s.servePage),
		Metrics: s.metrics.Handler(),
		Accept:  s.accept,
		Ready:   s.ready,

		Reservations: s.reservations(),

		Log: s.log,
	}
}

func secretsOf(c config.Serve) webhook.Secrets {
	return webhook.Secrets{NetBox: c.NetBoxSecret.Reveal(), ResyncToken: c.ResyncToken.Reveal(), ResyncSecret: c.ResyncSecret.Reveal(), API: c.APIToken.Reveal()}
}

// servePage answers with the page of the configuration in force.
func (s *service) servePage(w http.ResponseWriter, r *http.Request) {
	if handler := s.page.Load(); handler != nil {
		(*handler).ServeHTTP(w, r)
		return
	}
	http.Error(w, "allocsync is starting", http.StatusServiceUnavailable)
}

// accept makes a pass of an accepted hook, unless it is NetBox's word of what
// allocsync itself has just written.
func (s *service) accept(call webhook.Call) {
	client := s.current().client
	trigger := worker.Trigger{Kind: worker.KindWebhook, Detail: call.Detail, Sources: call.Sources}
	if call.RequestID != "" {
		trigger.Own = func() bool { return client.Wrote(call.RequestID) }
	}
	s.loop.Want(trigger)
}

// ready says whether every source has been asked once, whatever it answered.
func (s *service) ready() webhook.Readiness {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := webhook.Readiness{Ready: true}
	for _, source := range s.board.sources {
		one := webhook.SourceState{Name: source.name, Ready: !source.asked.IsZero(), State: "not read yet"}
		if one.Ready {
			one.State = source.state
		}
		r.Ready = r.Ready && one.Ready
		r.Sources = append(r.Sources, one)
	}
	return r
}
