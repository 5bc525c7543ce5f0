// Package page is what a person sees of the worker: one page, made on the
// server, that says first whether anything needs somebody, then what the
// sources answered, what is planned, what was done and what is in use.
//
// Everything works without a script and loads nothing from elsewhere. The page
// writes nothing itself; with an approval token it takes approvals of plans
// that are over their limits and hands them on.
package page

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

//go:embed *.html.tmpl
var templates embed.FS

//go:embed page.css page.js icon.svg
var assets embed.FS

// Options say where the page's contents come from and who may see them.
type Options struct {
	View func() View // called for every page; may be called concurrently

	// Search returns what fits an address, a prefix or a part of a used_by.
	// Of more than SearchLimit hits the page shows the first. Nil means no
	// search.
	Search func(query string) []Hit

	// Approve carries an approval on. It returns at once: the pass that
	// follows does the work. Its error is shown to the person.
	Approve func(digest string) error

	ApproveToken string // empty: no approvals
	ReadToken    string // empty: everybody who gets here may read

	Now func() time.Time // nil means time.Now
}

// SearchLimit is how many hits a search shows.
const SearchLimit = 200

// site is the page and what it remembers: nothing that anybody said but how
// often a wrong token was given.
type site struct {
	Options
	pages       *template.Template
	key         []byte // signs forms; of this process only
	crossOrigin *http.CrossOriginProtection
	readers     attempts
	approvers   attempts
}

// New returns the page and all below it: /, /held, /changes, /plans/DIGEST,
// /passes, /passes/ID, /networks, /search, /approve and /assets/. Nothing of it
// is remembered by another New: forms from before are refused, and attempts
// are counted anew.
func New(o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &site{Options: o, key: make([]byte, 32), crossOrigin: http.NewCrossOriginProtection()}
	_, _ = rand.Read(s.key) // never fails: it ends the program instead
	s.pages = template.Must(template.New("").Funcs(template.FuncMap{
		"plain": plain, "shown": shown, "number": number, "counted": counted, "took": took, "when": when, "sign": sign, "tone": tone,
	}).ParseFS(templates, "*.html.tmpl"))

	pages := http.NewServeMux()
	pages.HandleFunc("GET /{$}", s.overview)
	pages.HandleFunc("GET /held", s.held)
	pages.HandleFunc("GET /changes", s.changes)
	pages.HandleFunc("GET /plans/{digest}", func(w http.ResponseWriter, r *http.Request) { s.plan(w, r, r.PathValue("digest"), http.StatusOK, "") })
	pages.HandleFunc("GET /passes", s.passes)
	pages.HandleFunc("GET /passes/{id}", s.pass)
	pages.HandleFunc("GET /networks", s.networks)
	if o.Search != nil {
		pages.HandleFunc("GET /search", s.search)
	}
	if s.approves() {
		pages.HandleFunc("POST /approve", s.approve)
	}
	for _, name := range []string{"page.css", "page.js", "icon.svg"} {
		pages.Handle("GET /assets/"+name, asset(name))
	}
	return secured(s.guarded(s.found(pages)))
}

// approves reports whether plans can be approved.
func (s *site) approves() bool { return s.ApproveToken != "" && s.Approve != nil }

// view is the View of now.
func (s *site) view() View {
	v := s.View()
	if v.Now.IsZero() {
		v.Now = s.Now()
	}
	return v
}

// secured says to the browser what the page is allowed to do: load its own
// style, script and icon, and send its forms here. The referrer stays with
// this origin, but is not left out: without one, browsers give a form of ours
// the origin "null".
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// found answers in the page's own look where there is nothing.
func (s *site) found(pages *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := pages.Handler(r); pattern != "" {
			pages.ServeHTTP(w, r)
			return
		}
		if allow := allowed(pages, r); allow != "" {
			w.Header().Set("Allow", allow)
			s.message(w, r, http.StatusMethodNotAllowed, "Not this way", "This address takes "+allow+".")
			return
		}
		s.message(w, r, http.StatusNotFound, "Nothing here", "There is no such page.")
	})
}

// allowed is the method that a path takes, "" where there is nothing.
func allowed(pages *http.ServeMux, r *http.Request) string {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := pages.Handler(other); pattern != "" {
			return method
		}
	}
	return ""
}

// asset serves an embedded file. It is asked for each time and answered by its
// tag, so that a new version is never mixed with an old one.
func asset(name string) http.Handler {
	content, err := assets.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
	sum := sha256.Sum256(content)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	kind := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}[path.Ext(name)]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	})
}

// show writes a page. It is made in full before the first byte goes out, so
// that nobody gets half of one.
func (s *site) show(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := s.pages.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "the page could not be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // whoever left needs no answer
}

// message shows a few words instead of a page. It says nothing about the
// installation: it is what people without a token see, too.
func (s *site) message(w http.ResponseWriter, _ *http.Request, status int, title, text string) {
	s.show(w, status, "message", struct {
		frame
		Text string
	}{frame{Title: title, Here: "", Now: s.Now()}, text})
}

// frame is that of a page made of v. Where it can hold a form, it ties that
// to the browser.
func (s *site) frame(w http.ResponseWriter, r *http.Request, v View) frame {
	f := newFrame(v, strings.TrimPrefix(r.URL.Path, "/"))
	f.Searches = s.Search != nil
	if f.Approves = s.approves(); f.Approves && len(v.Pending) > 0 {
		f.Form = s.form(w, r)
	}
	return f
}
