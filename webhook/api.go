package webhook

import (
	"context"
	_ "embed"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// openAPI is the description of everything below /v1/.
//
//go:embed openapi.json
var openAPI []byte

const (
	apiPrefix     = "/v1/"
	pathOpenAPI   = "/v1/openapi.json"
	pathReserving = "/v1/reservations"
)

// operation answers one method of one path. It returns what is answered, with
// the status that goes with it.
type operation struct {
	method string
	path   string
	open   bool // answered without the token
	do     func(s *Server, r *http.Request, set *settings) (status int, body any, no *refusal)
}

// operations are all there are, each path's next to each other in the order of
// their names. They are those of openapi.json.
func operations() []operation {
	return []operation{
		{http.MethodGet, pathOpenAPI, true, (*Server).describe},
		{http.MethodDelete, pathReserving, false, (*Server).release},
		{http.MethodGet, pathReserving, false, (*Server).list},
		{http.MethodPost, pathReserving, false, (*Server).reserve},
	}
}

// api answers below /v1/.
func (s *Server) api(w http.ResponseWriter, r *http.Request) {
	var methods []string
	var found *operation
	for _, one := range operations() {
		if one.path != r.URL.Path {
			continue
		}
		methods = append(methods, one.method)
		if one.method == r.Method {
			found = &one
		}
	}
	if len(methods) == 0 || s.options.Reservations == nil {
		nothingHere(w)
		return
	}
	begun := s.now()
	if !allowed(w, r, strings.Join(methods, ", "), methods...) {
		s.answered(r, http.StatusMethodNotAllowed, nil, "method", 0)
		return
	}
	status, body, no := s.operate(w, r, found, begun)
	took := s.now().Sub(begun)
	if no != nil {
		s.answered(r, no.status, nil, no.Error, took)
		no.write(w)
		return
	}
	s.answered(r, status, body, "", took)
	writeJSON(w, status, body)
}

// operate checks who asks, cheap checks first, and does what is asked.
func (s *Server) operate(w http.ResponseWriter, r *http.Request, o *operation, now time.Time) (int, any, *refusal) {
	if wait := s.rates.enter(remote(r), now); wait > 0 {
		return 0, nil, tooMany(wait)
	}
	set := s.settings.Load()
	if set.secrets.API == "" {
		return 0, nil, refuse(http.StatusNotFound, "this is closed; set "+keyAPI+" to open it")
	}
	if o.open {
		return o.do(s, r, set)
	}
	if token, ok := bearer(r.Header); !ok || !sameToken(token, set.secrets.API) {
		return 0, nil, &refusal{Error: "the token is missing or wrong", status: http.StatusUnauthorized, challenge: `Bearer realm="allocsync"`}
	}
	if wait := s.rates.signed(kindAPI, now); wait > 0 {
		return 0, nil, tooMany(wait)
	}
	select {
	case s.calls <- struct{}{}:
		defer func() { <-s.calls }()
	default:
		return 0, nil, tooMany(time.Second)
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.knobs.call)
	defer cancel()
	defer context.AfterFunc(s.over, cancel)()
	// A source may take its time: the usual end of an answer is for those who
	// have proved nothing.
	deadline := time.Now().Add(s.knobs.call + s.knobs.write)
	if err := http.NewResponseController(w).SetWriteDeadline(deadline); err != nil {
		return 0, nil, s.internal(r, err)
	}
	return o.do(s, r.WithContext(ctx), set)
}

// answered writes a line for a request, with the reservation that was made or
// ended. Not its URL, nor a word of its body: by mistake a token may stand there.
func (s *Server) answered(r *http.Request, status int, body any, reason string, took time.Duration) {
	sort, level := sortAccepted, zerologInfo
	if status >= http.StatusBadRequest {
		sort, level = sortRefused, zerologWarn
	}
	e := s.journal.line(sort, level).Str("method", r.Method).Str("path", r.URL.Path).Int("status", status).Dur("took_ms", took)
	if one, ok := body.(Reservation); ok {
		e = e.Str("source", clean(one.Source)).Str("address", clean(one.Address)).Str("state", one.State)
	}
	if reason != "" {
		e = e.Str("reason", clean(reason))
	}
	e.Str("remote", r.RemoteAddr).Msg("API request answered")
}

// internal hides an error that was not meant for callers.
func (s *Server) internal(r *http.Request, err error) *refusal {
	s.journal.line(sortFault, zerologError).Err(err).Str("method", r.Method).Str("path", r.URL.Path).Msg("API request failed")
	return refuse(http.StatusInternalServerError, "internal error; the log of allocsync says more")
}

// refusalOf tells a caller why something is not done.
func (s *Server) refusalOf(r *http.Request, err error) *refusal {
	var p *Problem
	if !errors.As(err, &p) {
		return s.internal(r, err)
	}
	return &refusal{Error: p.Text, Unfinished: p.Unfinished, Sources: p.Sources, status: p.Status, wait: p.Wait}
}

// describe is GET /v1/openapi.json.
func (s *Server) describe(*http.Request, *settings) (int, any, *refusal) {
	return http.StatusOK, rawJSON(openAPI), nil
}

// list is GET /v1/reservations.
func (s *Server) list(r *http.Request, set *settings) (int, any, *refusal) {
	source, address, no := parameters(r, set)
	if no != nil {
		return 0, nil, no
	}
	list, err := s.options.Reservations.List(r.Context(), source, address)
	if err != nil {
		return 0, nil, s.refusalOf(r, err)
	}
	if list.Reservations == nil {
		list.Reservations = []Reservation{}
	}
	if list.Unread == nil {
		list.Unread = []UnreadSource{}
	}
	return http.StatusOK, list, nil
}

// reserve is POST /v1/reservations.
func (s *Server) reserve(r *http.Request, set *settings) (int, any, *refusal) {
	if r.URL.RawQuery != "" {
		return 0, nil, refuse(http.StatusBadRequest, "this takes no parameters; say everything in the body")
	}
	body, release, no := s.body(r, s.knobs.request)
	defer release()
	if no != nil {
		return 0, nil, no
	}
	wanted, err := parseReservation(body)
	if err != nil {
		return 0, nil, refuse(http.StatusBadRequest, err.Error())
	}
	if no := known(wanted.Source, set); no != nil {
		return 0, nil, no
	}
	made, fresh, err := s.options.Reservations.Reserve(r.Context(), wanted)
	switch {
	case err != nil:
		return 0, nil, s.refusalOf(r, err)
	case fresh:
		return http.StatusCreated, made, nil
	}
	return http.StatusOK, made, nil
}

// release is DELETE /v1/reservations.
func (s *Server) release(r *http.Request, set *settings) (int, any, *refusal) {
	source, address, no := parameters(r, set)
	switch {
	case no != nil:
		return 0, nil, no
	case source == "" || address == "":
		return 0, nil, refuse(http.StatusBadRequest, "name the reservation: ?source=NAME&address=ADDRESS")
	}
	gone, err := s.options.Reservations.Release(r.Context(), source, address)
	if err != nil {
		return 0, nil, s.refusalOf(r, err)
	}
	return http.StatusOK, gone, nil
}

// parameters reads ?source= and ?address=, each of which may be left out.
func parameters(r *http.Request, set *settings) (source, address string, no *refusal) {
	wrong := refuse(http.StatusBadRequest, "the parameters are source and address, each once at most and not empty")
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", "", wrong
	}
	for key, values := range query {
		if len(values) != 1 || checkText(key, values[0]) != nil || values[0] == "" || key != keySource && key != keyAddress {
			return "", "", wrong
		}
	}
	source, address = query.Get(keySource), query.Get(keyAddress)
	if source != "" {
		no = known(source, set)
	}
	return source, address, no
}

// known finds out whether a source is configured.
func known(source string, set *settings) *refusal {
	if slices.Contains(set.sources, source) {
		return nil
	}
	return &refusal{Error: "no source of that name is configured", status: http.StatusNotFound, Sources: set.sources}
}
