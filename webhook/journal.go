package webhook

import (
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// journal writes log lines, each sort of them at a limited rate: whoever can
// reach the server can make it refuse something.
type journal struct {
	log   zerolog.Logger
	limit limit
	now   func() time.Time

	mu    sync.Mutex
	sorts map[string]*sort
}

// sort is one of a few kinds of line; callers cannot make more of them.
type sort struct {
	bucket  bucket
	omitted int
}

// The sorts of line.
const (
	sortAccepted   = "accepted"
	sortNothing    = "nothing wanted"
	sortRefused    = "refused"
	sortConnection = "connection"
	sortFault      = "fault"
)

func newJournal(log zerolog.Logger, l limit, now func() time.Time) *journal {
	return &journal{log: log, limit: l, now: now, sorts: map[string]*sort{}}
}

// may reports whether a line of the sort may be written, and how many were not
// since the last one.
func (j *journal) may(name string) (omitted int, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.sorts[name]
	if s == nil {
		s = &sort{}
		j.sorts[name] = s
	}
	if s.bucket.take(j.limit, j.now()) > 0 {
		s.omitted++
		return 0, false
	}
	omitted, s.omitted = s.omitted, 0
	return omitted, true
}

// line starts a line of the sort; nil where there were too many of them, which
// zerolog takes as one that is not written.
func (j *journal) line(name string, level zerolog.Level) *zerolog.Event {
	omitted, ok := j.may(name)
	if !ok {
		return nil
	}
	e := j.log.WithLevel(level)
	if omitted > 0 {
		e = e.Int("omitted", omitted)
	}
	return e
}

// close tells of the lines that nobody was told of yet.
func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for name, s := range j.sorts {
		if s.omitted > 0 {
			j.log.Info().Str("sort", name).Int("omitted", s.omitted).Msg("log lines were left out, there were too many")
			s.omitted = 0
		}
	}
}

// Write takes what net/http says of connections: mostly handshakes of those
// who do not speak TLS.
func (j *journal) Write(p []byte) (int, error) {
	// A panic of a handler brings its stack along, which is for us to see.
	text, level := strings.TrimSpace(string(p)), zerolog.DebugLevel
	if strings.Contains(text, "panic") {
		level = zerolog.ErrorLevel
	}
	if len(text) > 4000 {
		text = text[:4000]
	}
	j.line(sortConnection, level).Str("said", text).Msg("HTTP connection")
	return len(p), nil
}
