package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"allocsync/report"
	"allocsync/webhook"
)

// maxReason is how wide the reasons of a table are at most, in columns.
const maxReason = 44

// reservationTable writes reservations for a terminal of so many columns, 0
// where nobody knows: in the look of the other tables, or below each other where
// they do not fit. URIs are never broken: they are there to be copied.
func reservationTable(w io.Writer, list []webhook.Reservation, width int) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "Nothing is reserved.")
		return err
	}
	rows := [][][]string{{{"SOURCE"}, {"ADDRESS"}, {"NETWORK"}, {"FOR"}, {"STATE"}, {"ROW"}}}
	for _, r := range list {
		rows = append(rows, [][]string{{r.Source}, withVRF(r.Address, r.VRF), {r.Network}, whomLines(r), stateLines(r), {rowText(r)}})
	}
	widths := make([]int, len(rows[0]))
	total := 1
	for column := range widths {
		for _, row := range rows {
			for i, line := range row[column] {
				row[column][i] = report.Printable(line)
				widths[column] = max(widths[column], utf8.RuneCountInString(row[column][i]))
			}
		}
		total += widths[column] + 3
	}
	if total > cmp.Or(width, report.DefaultWidth) {
		return stacked(w, list)
	}
	var b strings.Builder
	rule := "+"
	for _, n := range widths {
		rule += strings.Repeat("-", n+2) + "+"
	}
	for _, row := range rows {
		b.WriteString(rule + "\n")
		tableRow(&b, row, widths)
	}
	b.WriteString(rule + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// tableRow writes one row, of as many lines as its longest cell.
func tableRow(b *strings.Builder, row [][]string, widths []int) {
	height := 1
	for _, cell := range row {
		height = max(height, len(cell))
	}
	for n := range height {
		for column, cell := range row {
			text := ""
			if n < len(cell) {
				text = cell[n]
			}
			b.WriteString("| " + text + strings.Repeat(" ", widths[column]-utf8.RuneCountInString(text)+1))
		}
		b.WriteString("|\n")
	}
}

// stacked writes reservations below each other.
func stacked(w io.Writer, list []webhook.Reservation) error {
	for i, r := range list {
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintln(w, report.Printable(r.Address)); err != nil {
			return err
		}
		if err := reservationLines(w, r); err != nil {
			return err
		}
	}
	return nil
}

// reservationLines writes what there is to say of a reservation below its
// address.
func reservationLines(w io.Writer, r webhook.Reservation) error {
	state := r.State
	if r.Reason != "" {
		state += ": " + r.Reason
	}
	for _, line := range [][2]string{
		{"source", r.Source}, {"network", r.Network}, {"vrf", r.VRF}, {"for", r.For}, {"mac", r.MAC}, {"name", r.Name},
		{"state", state}, {"in use", r.InUse}, {"used by", r.UsedBy}, {"NetBox row", rowText(r)},
	} {
		if line[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "  %-11s %s\n", line[0], report.Printable(line[1])); err != nil {
			return err
		}
	}
	return nil
}

func withVRF(address, vrf string) []string {
	if vrf == "" {
		return []string{address}
	}
	return []string{address, "in " + vrf}
}

func rowText(r webhook.Reservation) string {
	if r.Row == 0 {
		return ""
	}
	return fmt.Sprintf("#%d", r.Row)
}

// whomLines says for whom a reservation is, a line for each name.
func whomLines(r webhook.Reservation) []string {
	return slices.DeleteFunc([]string{r.For, r.MAC, r.Name}, func(s string) bool { return s == "" })
}

// stateLines says how a reservation stands, and why.
func stateLines(r webhook.Reservation) []string {
	lines := []string{r.State}
	for _, text := range []string{r.Reason, r.InUse} {
		line := ""
		for word := range strings.FieldsSeq(text) {
			if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > maxReason {
				lines, line = append(lines, line), ""
			}
			line = strings.TrimSpace(line + " " + word)
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}
