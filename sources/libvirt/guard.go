package libvirt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"allocsync/sources"
)

const (
	headerSize = 28 // length, program, version, procedure, type, serial, status

	// VIR_CONNECT_RO. The daemon honours it however it was reached
	// (remoteDispatchConnectOpen in src/remote/remote_daemon_dispatch.c), so
	// that the connection changes nothing even where there is no read-only
	// socket.
	openReadOnly = 1

	keptFrame = 64 << 10 // a buffer larger than this is not kept for the next frame
)

// errClosed is why a connection ended that was closed on this side.
var errClosed = errors.New("the connection was closed")

// errSASL: what a daemon offers that is to be logged in to by SASL only.
var errSASL = fmt.Errorf("%w: the daemon wants a user name and password (SASL)", sources.ErrDenied)

// guard stands between go-libvirt and a host. go-libvirt trusts the wire: it
// allocates what a length says, panics where a length is too small, stands
// still for good where a call is answered twice (all seen in
// v0.0.0-20260217163227). The guard hands on nothing but whole answers to calls
// that were made, and events, each of the shape that it has to have; anything
// else ends the connection.
//
// It also makes sure that the connection reads only: calls that are not in
// answers() do not leave, and the one that opens the connection asks for it.
// Where it is told to allow reserving, a static DHCP host may be added to a
// network or deleted, and nothing else be changed.
//
// go-libvirt reads from one goroutine and writes from one at a time.
type guard struct {
	net.Conn
	maxBytes int
	answers  map[uint32]shape
	events   map[uint32]shape
	writing  bool

	out []byte // what go-libvirt has written of a frame that is not complete

	in     bytes.Buffer // the frame that go-libvirt is reading
	opened bool         // it was told that the connection is open

	mu    sync.Mutex
	calls map[int32]*underway
	last  time.Time // when the last frame came

	once   sync.Once
	cause  error         // why it ended; read it after over
	over   chan struct{} // closed when it has ended
	steady chan struct{} // closed when go-libvirt is done with connecting
}

// underway is a call without an answer so far.
type underway struct {
	procedure uint32
	sent      chan struct{} // closed when all of it is written
}

func newGuard(c net.Conn, maxBytes int) *guard {
	g := &guard{
		Conn: c, maxBytes: maxBytes, answers: answers(), events: map[uint32]shape{},
		calls: map[int32]*underway{}, last: time.Now(), over: make(chan struct{}), steady: make(chan struct{}),
	}
	for _, e := range events() {
		g.events[e.procedure] = e.shape
	}
	return g
}

// allowReserving lets out the one call that writes. It is called before the
// connection is used.
func (g *guard) allowReserving() { g.writing, g.answers[procNetworkUpdate] = true, "" }

// Read hands on what has been examined. Its errors are never a *net.OpError:
// go-libvirt would try those again for ever that call themselves temporary.
func (g *guard) Read(p []byte) (int, error) {
	for g.in.Len() == 0 {
		if err := g.next(); err != nil {
			g.end(err)
			// When reading fails, go-libvirt closes the channel that it makes
			// at the end of connecting, without looking whether connecting
			// goes on: one that it made a moment later is never closed, and
			// the race detector complains. Once the answer is handed over that
			// lets connecting end, it ends by itself.
			if g.opened {
				<-g.steady
			}
			return 0, errClosed
		}
	}
	return g.in.Read(p)
}

// next reads the next frame that is for go-libvirt.
func (g *guard) next() error {
	if g.in.Cap() > keptFrame {
		g.in = bytes.Buffer{}
	}
	for {
		var size [4]byte
		if _, err := io.ReadFull(g.Conn, size[:]); err != nil {
			return lostBy(err)
		}
		n := binary.BigEndian.Uint32(size[:])
		if n < headerSize {
			return garbled("a message says that it is %d bytes long; is this libvirt?", n)
		}
		if uint64(n) > uint64(g.maxBytes) {
			return &tooLargeError{size: n, limit: g.maxBytes}
		}
		g.in.Reset()
		g.in.Write(size[:])
		// The buffer grows as the bytes come, whatever the length says.
		if _, err := io.CopyN(&g.in, g.Conn, int64(n)-4); err != nil {
			return lostBy(err)
		}
		wanted, err := g.examine(g.in.Bytes())
		if wanted || err != nil {
			return err
		}
	}
}

// examine reports whether a frame is one for go-libvirt.
func (g *guard) examine(frame []byte) (bool, error) {
	f := readFrame(frame)
	g.mu.Lock()
	g.last = time.Now()
	g.mu.Unlock()
	switch {
	case f.program != remoteProgram || f.version != protocol:
		if f.kind == typeReply {
			return false, garbled("an answer of program %#x version %d, which was not asked", f.program, f.version)
		}
		return false, nil // of a part of the protocol that is not used here
	case f.kind == typeMessage:
		s, known := g.events[f.procedure]
		if !known {
			return false, nil
		}
		if f.status != statusOK || !s.fits(f.payload) {
			return false, garbled("event %d is not what the protocol says", f.procedure)
		}
		return true, nil
	case f.kind != typeReply:
		return false, garbled("a message of type %d, which was not asked for", f.kind)
	}
	return true, g.examineReply(f)
}

func (g *guard) examineReply(f frame) error {
	g.mu.Lock()
	call := g.calls[f.serial]
	delete(g.calls, f.serial)
	g.mu.Unlock()
	if call == nil || call.procedure != f.procedure {
		return garbled("an answer to call %d, procedure %d, which waits for none", f.serial, f.procedure)
	}
	// An answer that comes before the call has left would find go-libvirt
	// still sending; if that then fails it stands still for good
	// (digitalocean/go-libvirt#241).
	select {
	case <-call.sent:
	case <-g.over:
		return errClosed
	}
	want := g.answers[f.procedure]
	if f.status == statusError {
		want = shapeError
	}
	switch {
	case f.status > statusError || !want.fits(f.payload):
		return garbled("the answer to procedure %d is not what the protocol says", f.procedure)
	case f.status == statusError && binary.BigEndian.Uint32(f.payload) == uint32(golibvirt.ErrOk):
		// go-libvirt would take it for success.
		return garbled("procedure %d fails without an error", f.procedure)
	case f.status == statusOK && f.procedure == procAuthList && saslOnly(f.payload):
		return errSASL
	case f.status == statusOK && f.procedure == procOpen:
		g.opened = true
	}
	return nil
}

// saslOnly reports whether a list of ways to log in holds none that go-libvirt
// knows: none and polkit. It would go on without, and be refused everything.
func saslOnly(list []byte) bool {
	n, list, _ := word(list)
	if n == 0 {
		return false
	}
	for ; n > 0; n-- {
		var way uint32
		way, list, _ = word(list)
		if way == authNone || way == authPolkit {
			return false
		}
	}
	return true
}

// Write sends calls, a whole one at a time.
func (g *guard) Write(p []byte) (int, error) {
	g.out = append(g.out, p...)
	for len(g.out) >= headerSize {
		n := binary.BigEndian.Uint32(g.out)
		if n < headerSize {
			return 0, errors.New("go-libvirt sends what is no call")
		}
		if uint64(n) > uint64(len(g.out)) {
			break
		}
		if err := g.send(g.out[:n]); err != nil {
			g.end(err)
			return 0, errClosed
		}
		g.out = g.out[n:]
	}
	if len(g.out) == 0 {
		g.out = nil
	}
	return len(p), nil
}

func (g *guard) send(call []byte) error {
	f := readFrame(call)
	if _, allowed := g.answers[f.procedure]; !allowed || f.program != remoteProgram || f.kind != typeCall {
		return fmt.Errorf("procedure %d of program %#x is not one of those that only read", f.procedure, f.program)
	}
	if f.procedure == procNetworkUpdate && !reserves(f.payload) {
		return errors.New("an update of a network that neither adds nor deletes a static DHCP host")
	}
	if f.procedure == procOpen {
		if !shape("1si").fits(normalOpen(f.payload)) || binary.BigEndian.Uint32(call[len(call)-4:]) != 0 {
			return errors.New("go-libvirt opens the connection in a way that is not known")
		}
		if !g.writing {
			binary.BigEndian.PutUint32(call[len(call)-4:], openReadOnly)
		}
	}
	u := &underway{procedure: f.procedure, sent: make(chan struct{})}
	g.mu.Lock()
	g.calls[f.serial] = u
	g.mu.Unlock()
	if _, err := g.Conn.Write(call); err != nil {
		return lostBy(err)
	}
	close(u.sent)
	return nil
}

// reserves reports whether an update of a network is one of its static DHCP
// hosts. Command and section stand the other way round for daemons that have
// them so; see golibvirt.NetworkUpdateCompat.
func reserves(payload []byte) bool {
	if !shape("suiiisi").fits(payload) {
		return false
	}
	rest, _ := shape("su").skip(payload)
	command, rest, _ := word(rest)
	section, _, _ := word(rest)
	if command == uint32(golibvirt.NetworkSectionIPDhcpHost) {
		command, section = section, command
	}
	return section == uint32(golibvirt.NetworkSectionIPDhcpHost) &&
		(command == uint32(golibvirt.NetworkUpdateCommandAddLast) || command == uint32(golibvirt.NetworkUpdateCommandDelete))
}

// normalOpen puts the word that says "there is a name" the way XDR has it:
// go-libvirt sends its bytes in the wrong order, which libvirt takes for true.
func normalOpen(payload []byte) []byte {
	if len(payload) > 4 && payload[0] == 1 && payload[3] == 0 {
		copy(payload, []byte{0, 0, 0, 1})
	}
	return payload
}

// Close is what go-libvirt calls when connecting failed.
func (g *guard) Close() error {
	g.end(errClosed)
	return nil
}

// settled says, once, that go-libvirt is done with connecting.
func (g *guard) settled() { close(g.steady) }

// end ends the connection; the first cause counts.
func (g *guard) end(cause error) {
	g.once.Do(func() {
		g.cause = cause
		close(g.over)
		_ = g.Conn.Close() // nothing is lost: what was written has been sent, or has failed
	})
}

// lost reports whether the connection has ended, and why.
func (g *guard) lost() (error, bool) {
	select {
	case <-g.over:
		return g.cause, true
	default:
		return nil, false
	}
}

// silent reports whether nothing has come since some moment.
func (g *guard) silent(since time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.last.Before(since)
}

// frame is one message of the protocol.
type frame struct {
	program, version, procedure, kind uint32
	serial                            int32
	status                            uint32
	payload                           []byte
}

// readFrame takes a frame of at least headerSize bytes apart.
func readFrame(b []byte) frame {
	at := func(i int) uint32 { return binary.BigEndian.Uint32(b[i:]) }
	return frame{at(4), at(8), at(12), at(16), int32(at(20)), at(24), b[headerSize:]}
}
