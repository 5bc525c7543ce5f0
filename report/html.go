package report

import "io"

// HTML writes.
func HTML(w io.Writer, r Report) error { return nil }
