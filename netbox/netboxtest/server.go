package netboxtest

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options says what kind of NetBox to be. The zero value is a 4.7.3 as
// installed, with the token "demo".
type Options struct {
	Version Version // default V47
	// Token is a superuser's; "" is "demo". nbt_KEY.TOKEN makes a v2 token.
	Token string
	// User is the superuser's name, as the change log shows it; default "admin".
	User string
	// MaxPageSize is NetBox's MAX_PAGE_SIZE; default 1000. Negative: no maximum.
	MaxPageSize int
	// EnforceGlobalUnique is NetBox's ENFORCE_GLOBAL_UNIQUE; nil means the
	// version's default: off in 3.7, on since 4.0.
	EnforceGlobalUnique *bool
	// MaxRequestLine is the longest request line taken, in bytes. Default 4094,
	// as gunicorn, which NetBox's documentation has its users run. Negative: any.
	MaxRequestLine int
	// KeepChanges is how many change log entries are kept; default 500,000.
	KeepChanges int
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Server is the embedded NetBox, an http.Handler. It is safe for use by several
// goroutines.
type Server struct {
	version Version
	options Options

	mu          sync.RWMutex // guards everything below
	users       map[string]*user
	maintenance bool
	last        int64 // the last time handed out, in microseconds
	interned    map[int]map[string]string
	hosts       *ordered[row] // addresses by host, IPv4 first
	writes      int           // how many writes were begun
	outside     map[int][]int // addresses by the ID of their nat_inside
	uses        map[use]int   // how often rows are referred to

	kinds                                                                           []*kind
	fields, choiceSets, tags, tenants, roles, vrfs, prefixes, ips, journal, changes *kind

	lastList atomic.Pointer[foundList] // stored by readers, under the read lock
	log      requestLog
}

// New makes an empty NetBox. It opens no socket: serve it with net/http or
// httptest. It panics on a version that is not one of the package's.
func New(o Options) *Server {
	if o.Version == "" {
		o.Version = V47
	}
	if !o.Version.known() {
		panic("netboxtest: no such version: " + string(o.Version))
	}
	setDefault(&o.Token, "demo")
	setDefault(&o.User, "admin")
	setDefault(&o.MaxPageSize, 1000)
	setDefault(&o.MaxRequestLine, 4094)
	setDefault(&o.KeepChanges, 500_000)
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{version: o.Version, options: o, users: make(map[string]*user), interned: make(map[int]map[string]string),
		outside: make(map[int][]int), uses: make(map[use]int)}
	s.choiceSets = s.newChoiceSets()
	s.fields = s.newCustomFields()
	s.tags = s.newTags()
	s.tenants = s.newTenants()
	s.vrfs = s.newVRFs()
	s.roles = s.newRoles()
	s.prefixes = s.newPrefixes()
	s.ips = s.newAddresses()
	s.journal = s.newJournal()
	s.changes = s.newChanges()
	s.kinds = []*kind{s.fields, s.choiceSets, s.tags, s.tenants, s.vrfs, s.roles, s.prefixes, s.ips, s.journal}
	s.AddToken(o.Token, Permissions{User: o.User, Superuser: true})
	return s
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// SetMaintenance turns NetBox's maintenance mode on or off: reads work, writes
// that pass validation get a 500.
func (s *Server) SetMaintenance(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.maintenance = on
}

// SetMaxPageSize changes MAX_PAGE_SIZE, as an administrator may at any time.
// Negative means no maximum.
func (s *Server) SetMaxPageSize(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.options.MaxPageSize = n
}

// enforceGlobal says whether addresses and prefixes without a VRF are unique.
func (s *Server) enforceGlobal() bool {
	if s.options.EnforceGlobalUnique != nil {
		return *s.options.EnforceGlobalUnique
	}
	return s.version.since(V42)
}

// tick gives the time, never the same twice.
func (s *Server) tick() int64 {
	s.last = max(s.options.Now().UnixMicro(), s.last+1)
	return s.last
}

// ServeHTTP answers one request. A fault that drops the connection panics with
// http.ErrAbortHandler, as net/http wants it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := newRequestID()
	f := s.log.match(r)
	var answer *response
	if f == nil || f.Kind == LostAnswer || f.Kind == Truncate {
		answer = s.answer(r, id)
	}
	if f != nil {
		answer = f.apply(r, answer)
	}
	s.log.add(r, answer, f != nil)
	if answer == nil {
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	for k, v := range answer.header {
		h.Set(k, v)
	}
	if f == nil && !answer.early {
		h.Set("X-Request-ID", id)
		h.Set("Vary", "HX-Request, Cookie, origin")
		// Before 4.7 only requests that say they carry JSON count as API requests.
		if strings.HasPrefix(r.URL.Path, "/api/") && (s.version.since(V47) || mediaType(r) == "application/json") {
			h.Set("API-Version", s.version.api())
		}
	}
	w.WriteHeader(answer.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(answer.body)
	}
}

func mediaType(r *http.Request) string {
	t, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// newRequestID is a random UUID.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
