package netboxtest

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// journalEntry is a row of /api/extras/journal-entries/: a remark about an
// object.
type journalEntry struct {
	meta
	about    string // "ipam.ipaddress"
	id       int    // of that object
	kind     string
	comments string
}

func (e *journalEntry) clone() objectRow { c := *e; return &c }

func journalKinds() []choice {
	return []choice{{"info", "Info"}, {"success", "Success"}, {"warning", "Warning"}, {"danger", "Danger"}}
}

func (s *Server) newJournal() *kind {
	k := &kind{app: "extras", model: "journalentry", class: "JournalEntry", verbose: "journal entry", path: "extras/journal-entries"}
	k.text = func(r row) string {
		e := r.(*journalEntry)
		c, _ := choiceOf(journalKinds(), e.kind)
		return time.UnixMicro(e.created).UTC().Format("2006-01-02 15:04") + " (" + c.label + ")"
	}
	k.blank = func() objectRow { return &journalEntry{kind: "info"} }
	k.columns = slices.Concat(identity(s.version, k), []column{
		{name: "assigned_object_type", write: func(w *writer, r row) { w.text(r.(*journalEntry).about) }},
		{name: "assigned_object_id", write: func(w *writer, r row) { w.int(r.(*journalEntry).id) }},
		{name: "kind", write: func(w *writer, r row) { w.choiceValue(journalKinds(), r.(*journalEntry).kind) }},
		{name: "comments", write: func(w *writer, r row) { w.text(r.(*journalEntry).comments) }},
		constant("tags", "[]"), constant("custom_fields", "{}"),
	}, times())
	k.brief = pick(k.columns, "id", "url", "display", "created")
	k.decode = func(d *decoder, r objectRow) {
		e := r.(*journalEntry)
		d.text("assigned_object_type", &e.about, textRule{must: true, filled: true})
		d.int("assigned_object_id", &e.id, 1<<31-1)
		d.choice("kind", &e.kind, journalKinds(), false, false)
		d.text("comments", &e.comments, textRule{must: true, filled: true})
	}
	k.check = func(r objectRow) *object { return s.checkJournal(r.(*journalEntry)) }
	k.data = func(w *writer, r objectRow) {
		w.object(pick(k.columns, "assigned_object_type", "assigned_object_id", "kind", "comments"), r)
	}
	k.filters = map[string]filterDef{
		"assigned_object_type": {text: func(r row) (string, bool) { return r.(*journalEntry).about, true }},
		"assigned_object_id":   {text: func(r row) (string, bool) { return fmt.Sprint(r.(*journalEntry).id), true }},
	}
	k.attribute = attributes(nil)
	return k.init(func(a, b row) int { // the newest first
		x, y := a.(*journalEntry), b.(*journalEntry)
		return cmp.Or(cmp.Compare(y.created, x.created), cmp.Compare(y.meta.id, x.meta.id))
	})
}

// checkJournal makes sure that the object is there.
func (s *Server) checkJournal(e *journalEntry) *object {
	for _, k := range s.kinds {
		if k.name() != e.about {
			continue
		}
		if _, ok := k.get(e.id); ok {
			return nil
		}
		return failAll(fmt.Sprintf("Invalid assigned_object: %s > %s ID %d", "IPAM", "IP Address", e.id))
	}
	return failAll("Invalid assigned_object type.")
}

func failAll(message string) *object { return newObject("__all__", texts(message)) }
