package webhook

import (
	"net/http"
	"time"

	"github.com/rs/zerolog"
)

// Options is what a server is made of.
type Options struct {
	Listen        string // HOST:PORT of hooks, page and health; empty: none of them
	MetricsListen string // HOST:PORT of metrics and health alone; empty: metrics are answered at Listen

	// TLSCertFile and TLSKeyFile are PEM files; with them every address is
	// answered by TLS, 1.2 or newer. They are read anew when they change.
	TLSCertFile, TLSKeyFile string

	Installation string   // the part before the slash of a row's owner
	Sources      []string // names, in configuration order
	Secrets      Secrets

	Page    http.Handler // at /; nil for none
	Metrics http.Handler // at /metrics; nil for none

	// Accept is told of every call that asks for a pass, before the sender is
	// answered, from many goroutines at once. It must not wait for anything.
	// Nil means that nobody is told.
	Accept func(Call)
	Ready  func() Readiness // asked at every /readyz; nil means always ready

	// Reservations is what is behind /v1/reservations; nil for nothing.
	Reservations *Reservations

	Log zerolog.Logger
	Now func() time.Time // nil means time.Now

	knobs *knobs // for tests; nil means the usual ones
}

// Secrets are what callers prove that they know. An empty one closes the way
// that it opens.
type Secrets struct {
	NetBox       string // of the webhook in NetBox
	ResyncToken  string // bearer token of /hooks/resync
	ResyncSecret string // with which bodies sent to /hooks/resync are signed
	API          string // bearer token of /v1/reservations
}

// String keeps secrets out of logs.
func (Secrets) String() string { return "(secrets)" }

// GoString keeps secrets out of %#v.
func (Secrets) GoString() string { return "(secrets)" }

// MarshalJSON keeps secrets out of structured logs.
func (Secrets) MarshalJSON() ([]byte, error) { return []byte(`"(secrets)"`), nil }

// The kinds of Call.
const (
	KindNetBox = "netbox"
	KindResync = "resync"

	kindAPI = "api" // no hook, but limited likewise
)

// Call is one accepted hook.
type Call struct {
	Kind    string
	Sources []string // names, in configuration order, each once; empty means all
	Detail  string   // for people, one short line without control characters

	// RequestID is NetBox's ID of the request that changed the row, the
	// X-Request-ID of its answer; empty for a resync, and for changes that
	// were made without a request.
	RequestID string
	User      string // NetBox's name of who changed the row; may be empty
}

// Readiness is what /readyz tells.
type Readiness struct {
	Ready   bool
	Sources []SourceState
}

// SourceState is what /readyz tells of one source. It is only shown where
// /metrics is answered too, which names the sources as well.
type SourceState struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
	State string `json:"state"` // a few words, without addresses: "in step", "failed", "not read yet"
}

// The keys of the configuration that messages name.
const (
	keyListen        = "serve.listen"
	keyMetricsListen = "serve.metrics_listen"
	keyCertFile      = "serve.tls_cert_file"
	keyNetBoxSecret  = "serve.netbox_secret"
	keyResync        = "serve.resync_token or serve.resync_secret"
	keyAPI           = "serve.api_token"
)

// knobs are the limits of a server.
type knobs struct {
	readHeader, read, write, idle time.Duration // of a connection, as in http.Server
	shutdown                      time.Duration // for requests under way when the server ends
	headerBytes                   int
	connections                   int   // at one address at a time; more wait in the kernel's queue
	body                          int64 // bytes of one hook
	bodies                        int64 // bytes of all hooks that are being received
	form                          int64 // bytes of what is posted to the page

	request int64         // bytes of a body sent to the API
	calls   int           // of the API that are under way at a time
	call    time.Duration // for one of them
	finish  time.Duration // for those under way when the server ends

	everybody, address limit // hooks, before anything is computed: all senders; one IPv4 address or IPv6 /64
	addresses          int   // of which the rate is remembered; the rest share one
	netbox, resync     limit // hooks with a right signature or token
	api                limit // requests to the API with the right token
	netboxWindow       time.Duration
	resyncWindow       time.Duration
	remembered         int // bodies, of each hook

	recheck time.Duration // shortest time between two looks at the certificate's files
	lines   limit         // of the log, for each sort of line
}

// usualKnobs fit a small host. NetBox sends a hook for each row of a bulk edit
// and, unless it is told to, none again that was turned away, hence the
// generous rates: a thousand at once have to get through.
func usualKnobs() knobs {
	return knobs{
		readHeader: 5 * time.Second, read: 15 * time.Second, write: 30 * time.Second, idle: time.Minute,
		shutdown:    5 * time.Second,
		headerBytes: 16 << 10,
		connections: 256,
		body:        1 << 20,
		bodies:      16 << 20,
		form:        64 << 10,

		request: 16 << 10,
		calls:   16,
		call:    4 * time.Minute, // a source may have hundreds of hosts to ask, and a pass may be in the way
		finish:  3 * time.Minute, // longer than it takes to bring one reservation to its end

		everybody:    limit{perSecond: 1000, burst: 5000},
		address:      limit{perSecond: 300, burst: 3000},
		addresses:    1024,
		netbox:       limit{perSecond: 200, burst: 2000},
		resync:       limit{perSecond: 2, burst: 60},
		api:          limit{perSecond: 5, burst: 100},
		netboxWindow: 24 * time.Hour, // after a large first sync its queue is hours behind
		resyncWindow: 5 * time.Minute,
		remembered:   10_000,

		recheck: time.Second,
		lines:   limit{perSecond: 5, burst: 50},
	}
}
