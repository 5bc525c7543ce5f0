// Package webhook is the HTTP server of `allocsync serve`: hooks that ask for
// a pass, the API for reservations, health, and the places where the page and
// the metrics are shown.
//
//	POST /hooks/netbox      NetBox tells that a row changed      X-Hook-Signature
//	POST /hooks/resync      anybody with the token or secret asks for a pass
//	     /v1/reservations   GET, POST, DELETE: whoever has the API's token
//	GET  /v1/openapi.json   what /v1/ is, for programs
//	GET  /healthz           200 as long as the program answers
//	GET  /readyz            200 once every source was read, or said why not; else 503
//	GET  /metrics           Prometheus
//	     /                  the page
//
// A hook can do one thing: ask for a pass. A pass decides by what the sources
// and NetBox say, never by what a hook said; a forged, lost or replayed hook can
// make one run early, or late, and nothing else. The checks keep strangers from
// having NetBox and the sources read over and over. The API does what it is
// asked to, for those who prove that they may.
//
// # Order of the checks
//
// The cheap ones come first: method, whether the hook is configured at all,
// how often (this address, then all senders together), size, then the
// signature over the raw body or the token, how often again for those who proved
// themselves, whether the body came before, and at last what it says. Until the
// signature or the token is found right, an answer tells nothing that is not in
// this comment.
//
// # Bounds
//
// Connections, header bytes, time for headers, bodies and answers, bytes of one
// body, bytes of all bodies that are being received, addresses remembered for
// rates, bodies remembered against replay, requests to the API under way and the
// time for each, lines logged a second: all have a limit, named in knobs.
package webhook
