package webhook

import (
	"net/http"
	"strings"
)

// main answers at Options.Listen.
func (s *Server) main(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	switch r.URL.Path {
	case "/hooks/netbox":
		s.hook(w, r, KindNetBox, s.netbox)
	case "/hooks/resync":
		s.hook(w, r, KindResync, s.resync)
	case "/metrics":
		if s.options.MetricsListen != "" {
			refuse(http.StatusNotFound, "metrics are answered at "+keyMetricsListen).write(w)
			return
		}
		s.showMetrics(w, r)
	default:
		if strings.HasPrefix(r.URL.Path, apiPrefix) {
			s.api(w, r)
			return
		}
		if s.health(w, r, s.options.MetricsListen == "" && s.options.Metrics != nil) {
			return
		}
		s.page(w, r)
	}
}

// metrics answers at Options.MetricsListen.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	switch {
	case r.URL.Path == "/metrics":
		s.showMetrics(w, r)
	case s.health(w, r, s.options.Metrics != nil):
	default:
		nothingHere(w)
	}
}

func nothingHere(w http.ResponseWriter) { refuse(http.StatusNotFound, "nothing is here").write(w) }

// reads lets in what only reads.
func reads(w http.ResponseWriter, r *http.Request) bool {
	return allowed(w, r, "GET, HEAD", http.MethodGet, http.MethodHead)
}

func (s *Server) showMetrics(w http.ResponseWriter, r *http.Request) {
	switch {
	case s.options.Metrics == nil:
		nothingHere(w)
	case reads(w, r):
		s.options.Metrics.ServeHTTP(w, r)
	}
}

// page shows the page at every path that is nothing else.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	const hooks = "/hooks/"
	if s.options.Page == nil || len(r.URL.Path) >= len(hooks) && r.URL.Path[:len(hooks)] == hooks {
		nothingHere(w)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, s.knobs.form)
	s.options.Page.ServeHTTP(w, r)
}

// health answers /healthz and /readyz, and reports whether it was one of them.
func (s *Server) health(w http.ResponseWriter, r *http.Request, names bool) bool {
	switch r.URL.Path {
	case "/healthz":
		if reads(w, r) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Write([]byte("ok\n"))
		}
	case "/readyz":
		if reads(w, r) {
			s.ready(w, names)
		}
	default:
		return false
	}
	return true
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready        bool          `json:"ready"`
	ReadySources int           `json:"ready_sources"`
	AllSources   int           `json:"all_sources"`
	Sources      []SourceState `json:"sources,omitempty"`
}

// ready tells how many sources are ready, and with names which: a probe needs
// the status alone, and who may read the metrics knows the names anyway.
func (s *Server) ready(w http.ResponseWriter, names bool) {
	state := Readiness{Ready: true}
	if s.options.Ready != nil {
		state = s.options.Ready()
	}
	out := readiness{Ready: state.Ready, AllSources: len(state.Sources)}
	for _, one := range state.Sources {
		if one.Ready {
			out.ReadySources++
		}
	}
	if names {
		out.Sources = state.Sources
	}
	status := http.StatusOK
	if !state.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, out)
}
