// Package webhook is the HTTP server of `allocsync serve`: hooks that ask for
// a pass, health, and the places where the page and the metrics are shown.
//
//	POST /hooks/netbox   NetBox tells that a row changed      X-Hook-Signature
//	POST /hooks/resync   anybody with the token or secret asks for a pass
//	GET  /healthz        200 as long as the program answers
//	GET  /readyz         200 once every source was read, or said why not; else 503
//	GET  /metrics        Prometheus
//	     /               the page
//
// What it lets in can do one thing: ask for a pass. A pass decides by what the
// sources and NetBox say, never by what a hook said; a forged, lost or
// replayed hook can make one run early, or late, and nothing else. The checks
// keep strangers from having NetBox and the sources read over and over.
//
// # Order of the checks
//
// The cheap ones come first: method, whether the hook is configured at all,
// how often (this address, then all senders together), size, then the
// signature over the raw body, how often again for those who signed, whether
// the body came before, and at last what it says. Until the signature is found
// right, an answer tells nothing that is not in this comment.
//
// # Bounds
//
// Connections, header bytes, time for headers, bodies and answers, bytes of one
// body, bytes of all bodies that are being received, addresses remembered for
// rates, bodies remembered against replay, lines logged a second: all have a
// limit, named in knobs.
package webhook
