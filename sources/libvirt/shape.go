package libvirt

import (
	"encoding/binary"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"
)

// The numbers of the wire (src/remote/remote_protocol.x, src/rpc/virnetprotocol.x).
const (
	remoteProgram = 0x20008086
	protocol      = 1

	typeCall, typeReply, typeMessage = 0, 1, 2
	statusOK, statusError            = 0, 1

	authNone, authPolkit = 0, 2 // 1 is SASL

	procOpen          = 1
	procDomainXML     = 14
	procNetworkXML    = 43
	procHostname      = 59
	procFeature       = 60
	procAuthList      = 66
	procAuthPolkit    = 70
	procActive        = 152
	procPersistent    = 153
	procLibVersion    = 157
	procDomains       = 273
	procNetworks      = 283
	procNetworkUpdate = 291 // the only one that writes: see guard.allowReserving
	procRegisterEvent = 316
	procLeases        = 341
)

// shape is how a message is laid out in XDR (RFC 4506), a letter for each part:
//
//	i  4 bytes    h  8 bytes    u  16 bytes (a UUID)
//	s  a string   o  a string that may be missing
//	[…]  a list of what stands between the brackets
//	*  anything, to the end
//
// go-libvirt's decoder allocates what a length says before it looks for the
// bytes, and leaves what is too long unread; a message that fits its shape
// does neither.
type shape string

const (
	shapeDomain shape = "sui"
	// An error: code, domain, message, level, and what go-libvirt leaves
	// unread. The message may be missing by the protocol; go-libvirt would
	// take what follows for it, so one without is refused.
	shapeError shape = "ii1si*"
)

// answers lists the calls that are made to read, each with the shape of its
// answer: none of them changes anything.
func answers() map[uint32]shape {
	return map[uint32]shape{
		procOpen:          "",
		procDomainXML:     "s",
		procNetworkXML:    "s",
		procHostname:      "s",
		procFeature:       "i",
		procActive:        "i",
		procPersistent:    "i",
		procAuthList:      "[i]",
		procAuthPolkit:    "i",
		procLibVersion:    "h",
		procDomains:       "[" + shapeDomain + "]i",
		procNetworks:      "[su]i",
		procRegisterEvent: "i",
		procLeases:        "[shioosioo]i",
	}
}

// event is a kind of message that a host sends when something happens.
type event struct {
	procedure uint32
	shape     shape
}

// events lists the events that may be subscribed to. All others are dropped.
func events() map[golibvirt.DomainEventID]event {
	return map[golibvirt.DomainEventID]event{
		golibvirt.DomainEventIDLifecycle:      {318, "i" + shapeDomain + "ii"},
		golibvirt.DomainEventIDDeviceRemoved:  {333, "i" + shapeDomain + "s"},
		golibvirt.DomainEventIDDeviceAdded:    {354, "i" + shapeDomain + "s"},
		golibvirt.DomainEventIDMetadataChange: {379, "i" + shapeDomain + "io"},
	}
}

// fits reports whether a message has the shape, to the last byte.
func (s shape) fits(message []byte) bool {
	rest, ok := s.skip(message)
	return ok && len(rest) == 0
}

// skip returns what follows a part of a message that has the shape.
func (s shape) skip(message []byte) ([]byte, bool) {
	for i := 0; i < len(s); i++ {
		var ok bool
		switch s[i] {
		case 'i':
			message, ok = skip(message, 4)
		case 'h':
			message, ok = skip(message, 8)
		case 'u':
			message, ok = skip(message, 16)
		case 's':
			message, ok = skipString(message)
		case 'o':
			var n uint32
			if n, message, ok = word(message); ok && n == 1 {
				message, ok = skipString(message)
			} else {
				ok = ok && n == 0
			}
		case '1':
			var n uint32
			n, message, ok = word(message)
			ok = ok && n == 1
		case '[':
			end := strings.IndexByte(string(s[i:]), ']') + i
			message, ok = s[i+1 : end].skipList(message)
			i = end
		case '*':
			return nil, true
		}
		if !ok {
			return nil, false
		}
	}
	return message, true
}

// skipList skips a list of elements of the shape. It ends soon whatever the
// list says its length is, as no element is without bytes.
func (s shape) skipList(message []byte) ([]byte, bool) {
	n, message, ok := word(message)
	for ; ok && n > 0; n-- {
		message, ok = s.skip(message)
	}
	return message, ok
}

func word(message []byte) (uint32, []byte, bool) {
	if len(message) < 4 {
		return 0, nil, false
	}
	return binary.BigEndian.Uint32(message), message[4:], true
}

func skip(message []byte, n uint64) ([]byte, bool) {
	if uint64(len(message)) < n {
		return nil, false
	}
	return message[n:], true
}

// skipString skips a length, so many bytes, and what fills them up to a
// multiple of four.
func skipString(message []byte) ([]byte, bool) {
	n, message, ok := word(message)
	if !ok {
		return nil, false
	}
	return skip(message, (uint64(n)+3)/4*4)
}
