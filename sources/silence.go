package sources

// Silence is a logger that says nothing, for libraries that write to standard
// error otherwise, as resty does: the errors of a source are returned, not logged.
type Silence struct{}

// Errorf says nothing.
func (Silence) Errorf(string, ...any) {}

// Warnf says nothing.
func (Silence) Warnf(string, ...any) {}

// Debugf says nothing.
func (Silence) Debugf(string, ...any) {}
