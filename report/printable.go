package report

// Printable makes foreign text safe to show on a terminal or in a log: control
// characters and what a reader would not see become visible escapes. Error
// texts need it too, since they quote what a server answered.
func Printable(s string) string { return plain(s) }
