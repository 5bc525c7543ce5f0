// Package report shows people and programs what a pass would do, what it did,
// and what the sources hand out: as a table on a terminal, as JSON, as Markdown
// for a ticket or a pull request, and as one HTML file.
//
// A renderer takes plain values and an io.Writer. It has no clock and no
// environment, so the same value gives the same bytes. It lists every change:
// where something has to be left out (Options.Limit), it says how much.
//
// Everything that a source or NetBox wrote (names, descriptions, used_by,
// NetBox's words) is foreign text. Each format takes the teeth out of it in its
// own way: see Table, JSON, Markdown, HTML and the CSV of Allocations.
package report
