package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/net/netutil"
)

const (
	zerologDebug = zerolog.DebugLevel
	zerologInfo  = zerolog.InfoLevel
	zerologWarn  = zerolog.WarnLevel
	zerologError = zerolog.ErrorLevel
)

// Server listens from Open on and answers while Serve runs.
type Server struct {
	options  Options
	knobs    knobs
	now      func() time.Time
	settings atomic.Pointer[settings]

	journal                *journal
	rates                  *rates
	bodies                 *budget
	seenNetBox, seenResync *memory
	certificate            *certificate // nil for plain HTTP

	calls chan struct{}   // of the API that are under way
	over  context.Context // ends when the server does
	end   context.CancelFunc

	places []*place
}

// settings are what Configure changes.
type settings struct {
	secrets Secrets
	sources []string
}

// place is one address that is listened at.
type place struct {
	listener net.Listener
	http     *http.Server
}

// Open listens. Nobody is answered before Serve, which also has to be called
// to end the listening.
func Open(o Options) (*Server, error) {
	s := &Server{options: o, knobs: usualKnobs(), now: o.Now}
	if o.knobs != nil {
		s.knobs = *o.knobs
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.options.Accept == nil {
		s.options.Accept = func(Call) {}
	}
	s.Configure(o.Secrets, o.Sources)
	s.journal = newJournal(o.Log, s.knobs.lines, s.now)
	s.rates = newRates(s.knobs)
	s.bodies = newBudget(s.knobs.bodies)
	s.calls = make(chan struct{}, s.knobs.calls)
	s.over, s.end = context.WithCancel(context.Background())
	s.seenNetBox, s.seenResync = newMemory(s.knobs.remembered), newMemory(s.knobs.remembered)
	if o.TLSCertFile != "" || o.TLSKeyFile != "" {
		var err error
		if s.certificate, err = openCertificate(o, s.knobs, s.now); err != nil {
			return nil, err
		}
	}
	if err := s.listen(keyListen, o.Listen, http.HandlerFunc(s.main)); err != nil {
		return nil, err
	}
	if err := s.listen(keyMetricsListen, o.MetricsListen, http.HandlerFunc(s.metrics)); err != nil {
		for _, p := range s.places {
			p.listener.Close()
		}
		return nil, err
	}
	return s, nil
}

// Configure replaces the secrets and the names of the sources, in configuration
// order, from the next request on.
func (s *Server) Configure(secrets Secrets, sources []string) {
	s.settings.Store(&settings{secrets: secrets, sources: slices.Clone(sources)})
}

// listen adds a place; none where address is empty.
func (s *Server) listen(key, address string, handler http.Handler) error {
	if address == "" {
		s.places = append(s.places, nil)
		return nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen at %s %q: %w%s", key, address, cause(err), remedy(err))
	}
	if a, ok := l.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() && s.certificate == nil {
		s.options.Log.Warn().Str("address", l.Addr().String()).Msg("listening without TLS where others can reach it; tokens can be read on the way")
	}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true) // nobody here gains by HTTP/2, and it has many more ways to be flooded
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: s.knobs.readHeader,
		ReadTimeout:       s.knobs.read,
		WriteTimeout:      s.knobs.write,
		IdleTimeout:       s.knobs.idle,
		MaxHeaderBytes:    s.knobs.headerBytes,
		ErrorLog:          log.New(s.journal, "", 0),
		Protocols:         protocols,
	}
	if s.certificate != nil {
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.certificate.of}
	}
	s.places = append(s.places, &place{listener: netutil.LimitListener(l, s.knobs.connections), http: server})
	return nil
}

// cause takes the repeated address out of what net says.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// remedy says what to do about an address that cannot be listened at.
func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "; end the program that is there, or set another port"
	case errors.Is(err, syscall.EACCES):
		return "; set a port from 1024 up, or allow the program lower ones (CAP_NET_BIND_SERVICE)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "; set an address that this machine has, 127.0.0.1 for itself only, or none (:PORT) for all"
	}
	return "; want HOST:PORT"
}

// Addr is the address at which hooks and page are answered; empty for none.
func (s *Server) Addr() string { return s.address(0) }

// MetricsAddr is the address of the metrics' own; empty for none.
func (s *Server) MetricsAddr() string { return s.address(1) }

func (s *Server) address(i int) string {
	if s.places[i] == nil {
		return ""
	}
	return s.places[i].listener.Addr().String()
}

// Serve answers until ctx ends. Then it lets no one in any more, gives the
// requests that are under way a few seconds, and returns nil. What Reservations
// was asked to do is told to end, and waited for. An error means that an address
// cannot be served any longer; the others are closed then too.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(s.places))
	running := 0
	for _, p := range s.places {
		if p == nil {
			continue
		}
		running++
		go func() {
			err := s.serve(p)
			if !errors.Is(err, http.ErrServerClosed) {
				cancel() // the others end too
			}
			failed <- err
		}()
	}
	<-ctx.Done()
	s.end()
	s.shutdown()
	s.await()
	var first error
	for range running {
		if err := <-failed; !errors.Is(err, http.ErrServerClosed) && first == nil {
			first = fmt.Errorf("serve HTTP: %w", err)
		}
	}
	s.journal.close()
	return first
}

func (s *Server) serve(p *place) error {
	if s.certificate != nil {
		return p.http.ServeTLS(p.listener, "", "")
	}
	return p.http.Serve(p.listener)
}

// shutdown closes all places at once, and cuts what takes too long.
func (s *Server) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), s.knobs.shutdown)
	defer cancel()
	var all sync.WaitGroup
	for _, p := range s.places {
		if p == nil {
			continue
		}
		all.Go(func() {
			if p.http.Shutdown(ctx) != nil {
				p.http.Close()
			}
		})
	}
	all.Wait()
}

// await returns once no call of the API is under way: what they do there needs
// what the program closes next.
func (s *Server) await() {
	timer := time.NewTimer(s.knobs.finish)
	defer timer.Stop()
	for range cap(s.calls) {
		select {
		case s.calls <- struct{}{}:
		case <-timer.C:
			s.options.Log.Error().Msg("a request for a reservation does not end, and is not waited for any longer")
			return
		}
	}
}
