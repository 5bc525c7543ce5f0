package webhook

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// answer is what a hook that was let in is told.
type answer struct {
	Accepted bool     `json:"accepted"` // a pass was asked for
	Sources  []string `json:"sources,omitempty"`
	Reason   string   `json:"reason,omitempty"` // why not, or why of all sources
}

// refusal is why somebody was not let in. Its text is made of constants: it
// repeats nothing that came in, unless it was written for a caller of the API.
type refusal struct {
	Error      string   `json:"error"`
	Unfinished bool     `json:"unfinished,omitempty"` // a pass will finish what was begun
	Sources    []string `json:"sources,omitempty"`    // those that there are; only for those who proved themselves

	status    int
	wait      time.Duration // until it may be asked again; 0 for nothing said, but for 429
	challenge string        // with 401, where HTTP has a word for what is missing
}

func refuse(status int, text string) *refusal { return &refusal{Error: text, status: status} }

func tooMany(wait time.Duration) *refusal {
	return &refusal{Error: "too many requests", status: http.StatusTooManyRequests, wait: wait}
}

func (f *refusal) write(w http.ResponseWriter) {
	if f.wait > 0 || f.status == http.StatusTooManyRequests {
		seconds := max(1, int64((f.wait+time.Second-1)/time.Second))
		w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	if f.challenge != "" {
		w.Header().Set("WWW-Authenticate", f.challenge)
	}
	writeJSON(w, f.status, f)
}

// rawJSON is an answer that is JSON already.
type rawJSON []byte

// MarshalJSON is the text itself, without its spaces.
func (j rawJSON) MarshalJSON() ([]byte, error) { return j, nil }

// writeJSON writes an answer. That the other side is gone concerns nobody.
func writeJSON(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil { // none of our types can fail
		text, status = []byte(`{"error":"internal error"}`), http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(text, '\n'))
}

// secure sets the headers that every answer has. The page sets its own policy
// in place of this one, which allows nothing.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// allowed lets in the methods named, and answers the others.
func allowed(w http.ResponseWriter, r *http.Request, allow string, methods ...string) bool {
	for _, m := range methods {
		if r.Method == m {
			return true
		}
	}
	w.Header().Set("Allow", allow)
	refuse(http.StatusMethodNotAllowed, "this is answered to "+allow+" only").write(w)
	return false
}
