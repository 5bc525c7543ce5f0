package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// terminal reports whether w is a terminal that a person looks at.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// terminalWidth returns the columns of f, 0 where they are not known.
func terminalWidth(f *os.File) int {
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// colours reports whether to colour what goes to w (https://no-color.org).
func (p *program) colours(w io.Writer) bool {
	v, set := p.env("NO_COLOR")
	return terminal(w) && (!set || v == "")
}
