package webhook

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// hook answers one of the hooks. What both have in common is here: how often,
// the log, the form of the answers.
func (s *Server) hook(w http.ResponseWriter, r *http.Request, kind string, enter func(*http.Request, *settings, time.Time) (answer, *refusal)) {
	if !allowed(w, r, http.MethodPost, http.MethodPost) {
		s.refused(r, kind, "method", http.StatusMethodNotAllowed)
		return
	}
	now := s.now()
	var out answer
	var no *refusal
	if wait := s.rates.enter(remote(r), now); wait > 0 {
		no = tooMany(wait)
	} else {
		out, no = enter(r, s.settings.Load(), now)
	}
	if no != nil {
		s.refused(r, kind, no.Error, no.status)
		no.write(w)
		return
	}
	writeJSON(w, http.StatusAccepted, out)
}

func (s *Server) refused(r *http.Request, kind, reason string, status int) {
	// Not the URL: a sender by mistake may have put its token there.
	s.journal.line(sortRefused, zerologWarn).Str("hook", kind).Str("reason", reason).Int("status", status).
		Str("remote", r.RemoteAddr).Msg("hook refused")
}

// accept tells the program of a call.
func (s *Server) accept(r *http.Request, c Call) {
	s.journal.line(sortAccepted, zerologInfo).Str("hook", c.Kind).Strs("sources", c.Sources).Str("detail", c.Detail).
		Str("user", c.User).Str("request_id", c.RequestID).Str("remote", r.RemoteAddr).Msg("hook accepted")
	s.options.Accept(c)
}

// remote is the address of the connection. Headers in which proxies tell of
// another one are not read: anybody can send them.
func remote(r *http.Request) netip.Addr {
	at, _ := netip.ParseAddrPort(r.RemoteAddr)
	return at.Addr()
}

// body reads the body of a request, of at most max bytes.
func (s *Server) body(r *http.Request, max int64) (body []byte, release func(), no *refusal) {
	if r.ContentLength > max {
		return nil, func() {}, refuse(http.StatusRequestEntityTooLarge, errTooLarge.Error())
	}
	body, release, err := s.bodies.read(r.Body, max)
	switch {
	case err == nil:
		return body, release, nil
	case errors.Is(err, errTooLarge):
		no = refuse(http.StatusRequestEntityTooLarge, errTooLarge.Error())
	case errors.Is(err, errBusy):
		no = tooMany(time.Second)
	default: // cut short, too slow, or not as HTTP frames it
		no = refuse(http.StatusBadRequest, "the body did not arrive whole")
	}
	return nil, release, no
}

// netbox is POST /hooks/netbox.
func (s *Server) netbox(r *http.Request, set *settings, now time.Time) (answer, *refusal) {
	if set.secrets.NetBox == "" {
		return answer{}, refuse(http.StatusNotFound, "this hook is closed; set "+keyNetBoxSecret+" to open it")
	}
	unsigned := refuse(http.StatusUnauthorized, headerNetBox+" is missing or wrong")
	given, ok := netboxSignature(r.Header)
	if !ok {
		return answer{}, unsigned
	}
	body, release, no := s.body(r, s.knobs.body)
	defer release()
	if no != nil {
		return answer{}, no
	}
	if !given.signs(set.secrets.NetBox, body) {
		return answer{}, unsigned
	}
	if wait := s.rates.signed(KindNetBox, now); wait > 0 {
		return answer{}, tooMany(wait)
	}
	c, at, err := parseChange(body)
	switch {
	case err != nil:
		return answer{}, refuse(http.StatusBadRequest, err.Error())
	case !within(at, now, s.knobs.netboxWindow):
		return answer{}, refuse(http.StatusUnauthorized, "the body's timestamp is more than "+s.knobs.netboxWindow.String()+" off; a replay, a queue that stood still, or a wrong clock")
	case s.seenNetBox.repeated(given.mac, now, lifetime(s.knobs.netboxWindow)):
		// NetBox's queue sends a hook again whose answer it did not get. It
		// would count anything else than success as a failure.
		return s.nothing(r, KindNetBox, "this body was taken before"), nil
	}
	of := c.concerns(s.options.Installation, set.sources)
	if !of.all && len(of.sources) == 0 {
		return s.nothing(r, KindNetBox, of.reason), nil
	}
	s.accept(r, c.call(of))
	return answer{Accepted: true, Sources: orAll(of.sources, set), Reason: of.reason}, nil
}

// nothing is the answer to a hook that was let in and asks for nothing.
func (s *Server) nothing(r *http.Request, kind, reason string) answer {
	s.journal.line(sortNothing, zerologDebug).Str("hook", kind).Str("reason", reason).Str("remote", r.RemoteAddr).Msg("hook asks for nothing")
	return answer{Reason: reason}
}

// orAll names the sources of a call.
func orAll(list []string, set *settings) []string {
	if len(list) == 0 {
		return set.sources
	}
	return list
}

// lifetime is how long a body can be sent again that says when it was made:
// from the window before that time to the window after it.
func lifetime(window time.Duration) time.Duration { return 2 * window }

// resync is POST /hooks/resync.
func (s *Server) resync(r *http.Request, set *settings, now time.Time) (answer, *refusal) {
	if set.secrets.ResyncToken == "" && set.secrets.ResyncSecret == "" {
		return answer{}, refuse(http.StatusNotFound, "this hook is closed; set "+keyResync+" to open it")
	}
	var proved proof
	var no *refusal
	if token, ok := bearer(r.Header); ok {
		no = s.byToken(r, set, token)
	} else {
		proved, no = s.bySignature(r, set, now)
	}
	if no != nil {
		return answer{}, no
	}
	if wait := s.rates.signed(KindResync, now); wait > 0 {
		return answer{}, tooMany(wait)
	}
	list, no := asked(r.URL.Query(), set)
	if no != nil {
		return answer{}, no
	}
	if proved.mac != nil && s.seenResync.repeated(proved.mac, now, proved.keep) {
		return answer{}, refuse(http.StatusConflict, "this body was taken less than "+proved.keep.String()+" ago; sign a new "+headerTimestamp+" with it to ask again")
	}
	s.accept(r, Call{Kind: KindResync, Sources: list, Detail: "asked for by " + remote(r).Unmap().String()})
	return answer{Accepted: true, Sources: orAll(list, set)}, nil
}

// proof is a right signature, and for how long it is not taken a second time.
type proof struct {
	mac  []byte
	keep time.Duration
}

func unproved() *refusal {
	return &refusal{Error: "token and signature are missing or wrong", status: http.StatusUnauthorized, challenge: `Bearer realm="allocsync"`}
}

// byToken lets in by the bearer token; the body is of no interest.
func (s *Server) byToken(r *http.Request, set *settings, token string) *refusal {
	if !sameToken(token, set.secrets.ResyncToken) {
		return unproved()
	}
	if r.ContentLength > s.knobs.body {
		return refuse(http.StatusRequestEntityTooLarge, errTooLarge.Error())
	}
	return nil
}

// bySignature lets in by a signature of the body.
func (s *Server) bySignature(r *http.Request, set *settings, now time.Time) (proof, *refusal) {
	given, ok := resyncSignature(r.Header)
	if !ok || set.secrets.ResyncSecret == "" {
		return proof{}, unproved()
	}
	// A sender that signs no time can have its body sent again by others once
	// nobody remembers it.
	out := proof{mac: given.mac, keep: s.knobs.resyncWindow}
	var before []byte // the body, in what is signed
	var at time.Time
	stamped := len(r.Header.Values(headerTimestamp)) > 0
	if stamped {
		text, once := single(r.Header, headerTimestamp)
		if at, ok = timestamp(text); !once || !ok {
			return proof{}, unproved()
		}
		before, out.keep = []byte(text+"."), lifetime(s.knobs.resyncWindow)
	}
	body, release, no := s.body(r, s.knobs.body)
	defer release()
	if no != nil {
		return proof{}, no
	}
	if !given.signs(set.secrets.ResyncSecret, before, body) {
		return proof{}, unproved()
	}
	if stamped && !within(at, now, s.knobs.resyncWindow) {
		return proof{}, refuse(http.StatusUnauthorized, headerTimestamp+" is more than "+s.knobs.resyncWindow.String()+" off; a replay, or a wrong clock")
	}
	return out, nil
}

// asked reads ?source=.
func asked(query url.Values, set *settings) ([]string, *refusal) {
	no := &refusal{status: http.StatusBadRequest, Sources: set.sources}
	want := map[string]bool{}
	for key, values := range query {
		if key != "source" {
			no.Error = "the only parameter is source; it may be repeated"
			return nil, no
		}
		for _, v := range values {
			want[v] = true
		}
	}
	var list []string
	for _, name := range set.sources {
		if want[name] {
			list = append(list, name)
		}
	}
	if len(list) < len(want) {
		no.Error = "?source= names a source that is not configured"
		return nil, no
	}
	return list, nil
}
