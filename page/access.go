package page

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// same compares secrets in a time that tells nothing, not even their lengths.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// offered is the token that a request brings to read: HTTP Basic's password,
// with any user name, or a bearer token.
func offered(r *http.Request) (string, bool) {
	if _, password, ok := r.BasicAuth(); ok {
		return password, true
	}
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "bearer")
}

// guarded lets through who has the read token.
func (s *site) guarded(next http.Handler) http.Handler {
	if s.ReadToken == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, given := offered(r)
		if given {
			giveBack, ok := s.readers.try(caller(r), s.Now())
			if !ok {
				s.tooMany(w, r)
				return
			}
			if same(token, s.ReadToken) {
				giveBack()
				next.ServeHTTP(w, r)
				return
			}
		}
		w.Header().Add("WWW-Authenticate", `Basic realm="allocsync", charset="UTF-8"`)
		w.Header().Add("WWW-Authenticate", `Bearer realm="allocsync"`)
		s.message(w, r, http.StatusUnauthorized, "A token is needed", "This page is read with the read token of the worker: any user name, and the token as password.")
	})
}

func (s *site) tooMany(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", strconv.Itoa(int(attemptAgain.Seconds())))
	s.message(w, r, http.StatusTooManyRequests, "Too many wrong tokens", "Wait "+attemptAgain.String()+" and try again.")
}

// cookie holds what ties a form to a browser. It is no session: it gives
// access to nothing.
const cookie = "allocsync_form"

// form returns the proof that a form carries. A foreign site can make a
// browser send a form, but it can read neither the cookie nor the proof.
func (s *site) form(w http.ResponseWriter, r *http.Request) string {
	seed := ""
	if c, err := r.Cookie(cookie); err == nil && len(c.Value) == len(rand.Text()) {
		seed = c.Value
	} else {
		seed = rand.Text()
		http.SetCookie(w, &http.Cookie{Name: cookie, Value: seed, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil})
	}
	return s.proof("form", seed)
}

// proof signs some texts with the key of this process.
func (s *site) proof(texts ...string) string {
	mac := hmac.New(sha256.New, s.key)
	for _, t := range texts {
		mac.Write([]byte(strconv.Itoa(len(t)) + ":" + t))
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// formBytes bounds the body of an approval.
const formBytes = 16 << 10

// approve takes an approval.
func (s *site) approve(w http.ResponseWriter, r *http.Request) {
	if err := s.crossOrigin.Check(r); err != nil {
		s.message(w, r, http.StatusForbidden, "Not approved", "The form came from another site. Approve plans on this page only.")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, formBytes)
	if err := r.ParseForm(); err != nil {
		s.message(w, r, http.StatusBadRequest, "Not approved", "The form could not be read.")
		return
	}
	digest := r.PostForm.Get("digest")
	c, err := r.Cookie(cookie)
	if err != nil || !same(r.PostForm.Get("form"), s.proof("form", c.Value)) {
		s.plan(w, r, digest, http.StatusForbidden, "The form is out of date, or the browser sent no cookie. Look at the plan once more and approve it again.")
		return
	}
	giveBack, ok := s.approvers.try(caller(r), s.Now())
	if !ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(attemptAgain.Seconds())))
		s.plan(w, r, digest, http.StatusTooManyRequests, "Too many wrong approval tokens. Wait "+attemptAgain.String()+" and try again.")
		return
	}
	if !same(strings.TrimSpace(r.PostForm.Get("token")), s.ApproveToken) {
		s.plan(w, r, digest, http.StatusForbidden, "This is not the approval token.")
		return
	}
	giveBack()
	if _, ok := s.view().pendingOf(digest); !ok {
		s.plan(w, r, digest, http.StatusConflict, "")
		return
	}
	if err := s.Approve(digest); err != nil {
		s.plan(w, r, digest, http.StatusConflict, "Not approved: "+err.Error())
		return
	}
	at := strconv.FormatInt(s.Now().Unix(), 10)
	q := url.Values{"approved": {digest}, "at": {at}, "proof": {s.proof("approved", digest, at)}}
	http.Redirect(w, r, "/?"+q.Encode(), http.StatusSeeOther)
}

// saidFor is how long the page says that a plan was approved.
const saidFor = 10 * time.Minute

// said is what the page says after an approval. Nobody but us can make a link
// that says it.
func (s *site) said(q url.Values) string {
	digest, at := q.Get("approved"), q.Get("at")
	if digest == "" || !same(q.Get("proof"), s.proof("approved", digest, at)) {
		return ""
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	then := time.Unix(seconds, 0)
	if err != nil || s.Now().Sub(then) > saidFor {
		return ""
	}
	return "Plan " + plain(digest) + " was approved at " + then.UTC().Format("15:04:05") + " UTC. The next pass carries it out, if it is still exactly this plan."
}
