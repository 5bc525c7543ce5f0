package page

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func (s *site) overview(w http.ResponseWriter, r *http.Request) {
	v := s.view()
	o := newOverview(s.frame(w, r, v), v)
	o.Said = s.said(r.URL.Query())
	s.show(w, http.StatusOK, "overview", o)
}

// from is where in a list a page begins.
func from(r *http.Request) int {
	n, err := strconv.Atoi(r.URL.Query().Get("from"))
	if err != nil {
		return 0
	}
	return n
}

func (s *site) held(w http.ResponseWriter, r *http.Request) {
	v := s.view()
	f := s.frame(w, r, v)
	f.Title = "Held"
	list, pages := paged(v.Plan.Held, "/held", from(r))
	s.show(w, http.StatusOK, "held-page", struct {
		frame
		Pager  pager
		Groups []heldGroup
	}{f, pages, f.held(list)})
}

func (s *site) changes(w http.ResponseWriter, r *http.Request) {
	v := s.view()
	f := s.frame(w, r, v)
	f.Title = "Not done"
	list, pages := paged(v.Plan.Changes, "/changes", from(r))
	s.show(w, http.StatusOK, "changes-page", struct {
		frame
		Pager pager
		Rows  []changeRow
	}{f, pages, f.changes(list)})
}

// pendingOf finds the plan that waits under a digest.
func (v View) pendingOf(digest string) (Pending, bool) {
	for _, p := range v.Pending {
		if digest != "" && p.Digest == digest {
			return p, true
		}
	}
	return Pending{}, false
}

// planLines is how many changes of a plan its own page lists.
const planLines = 1000

// plan shows one plan that waits. Fault says why it was not approved.
func (s *site) plan(w http.ResponseWriter, r *http.Request, digest string, status int, fault string) {
	v := s.view()
	p, ok := v.pendingOf(digest)
	if !ok {
		if status == http.StatusOK {
			status = http.StatusNotFound
		} else if fault == "" {
			status = http.StatusConflict
		}
		s.message(w, r, status, "This plan no longer waits",
			strings.TrimSpace(fault+" It was approved before, or a pass found other changes and made another plan. Nothing of it was approved now."))
		return
	}
	f := s.frame(w, r, v)
	f.Title = "Plan " + plain(p.Digest)
	f.Live = fault == ""
	b := f.pending(p, 1, planLines)
	b.Fault = fault
	s.show(w, status, "plan-page", struct {
		frame
		Block pendingBlock
	}{f, b})
}

func (s *site) passes(w http.ResponseWriter, r *http.Request) {
	v := s.view()
	f := s.frame(w, r, v)
	f.Title = "Passes"
	list, pages := paged(v.Passes, "/passes", from(r))
	s.show(w, http.StatusOK, "passes-page", struct {
		frame
		Pager  pager
		Passes []passRow
	}{f, pages, passRows(list)})
}

func (s *site) pass(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	v := s.view()
	for _, p := range v.Passes {
		if err == nil && p.ID == id {
			f := s.frame(w, r, v)
			f.Title, f.Live = "Pass "+strconv.FormatUint(id, 10), false
			row := passRows([]Pass{p})[0]
			var more int
			row.Sources, more = head(p.Sources, onePage)
			s.show(w, http.StatusOK, "pass-page", struct {
				frame
				Pass passRow
				More int
			}{f, row, more})
			return
		}
	}
	s.message(w, r, http.StatusNotFound, "No such pass", "It is too long ago, or there never was one of this number.")
}

func (s *site) networks(w http.ResponseWriter, r *http.Request) {
	v := s.view()
	f := s.frame(w, r, v)
	f.Title = "In use"
	types := typeRows(v.Types)
	list, pages := paged(networkOrder(v.Networks), "/networks", from(r))
	shown, more := head(types, onePage)
	s.show(w, http.StatusOK, "networks-page", struct {
		frame
		Pager     pager
		Networks  []networkRow
		Types     []typeRow
		TypesMore int
	}{f, pages, networkRows(list, types), shown, more})
}

// queryBytes is how long a search may be.
const queryBytes = 500

// hitRow is a hit as it is shown.
type hitRow struct {
	Hit
	Where string
	Row   rowLink
}

// About is what else is known of the user of an address, in one line.
func (h hitRow) About() string {
	parts := []string{h.Type, h.Name, h.MAC}
	if h.Project != "" {
		parts = append(parts, "project "+h.Project)
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

func (s *site) search(w http.ResponseWriter, r *http.Request) {
	v := s.view()
	f := s.frame(w, r, v)
	f.Query = strings.TrimSpace(r.URL.Query().Get("q"))
	f.Title, f.Live = "Search", false
	var hits []hitRow
	found, fault := 0, ""
	switch {
	case len(f.Query) > queryBytes:
		fault = "That is too long to search for: at most " + number(queryBytes) + " bytes."
		f.Query = ""
	case f.Query != "":
		list := s.Search(f.Query)
		found = len(list)
		list, _ = head(list, SearchLimit)
		for _, h := range list {
			hits = append(hits, hitRow{h, where(h.Kind, h.Address, h.VRF), f.row(h.Kind, h.RowID)})
		}
		f.Title = "Search for " + plain(f.Query)
	}
	s.show(w, http.StatusOK, "search-page", struct {
		frame
		Hits  []hitRow
		Found int
		Fault string
	}{f, hits, found, fault})
}
