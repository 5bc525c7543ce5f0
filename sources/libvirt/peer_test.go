package libvirt

import (
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// wireText builds a message in XDR.
type wireText []byte

func (w wireText) word(n uint32) wireText { return binary.BigEndian.AppendUint32(w, n) }

func (w wireText) text(s string) wireText {
	w = append(w.word(uint32(len(s))), s...)
	return append(w, make([]byte, (4-len(s)%4)%4)...)
}

func (w wireText) raw(b ...byte) wireText { return append(w, b...) }

// domain is one element of a list of domains.
func (w wireText) domain(name string) wireText {
	return w.text(name).raw(make([]byte, 16)...).word(7)
}

// message is a whole frame.
func message(procedure, kind uint32, serial int32, status uint32, payload []byte) []byte {
	w := wireText{}.word(uint32(headerSize + len(payload))).word(remoteProgram).word(protocol).word(procedure).word(kind).word(uint32(serial)).word(status)
	return append(w, payload...)
}

// answerTo answers a call with success.
func answerTo(f frame, payload []byte) []byte {
	return message(f.procedure, typeReply, f.serial, statusOK, payload)
}

// refusal answers a call with an error of libvirt's.
func refusal(f frame, code uint32, text string) []byte {
	payload := wireText{}.word(code).word(7).word(1).text(text).word(2)
	return message(f.procedure, typeReply, f.serial, statusError, payload.word(0).word(0).word(0).word(0).word(0).word(0).word(0))
}

// peer is a daemon that does as it is told.
type peer struct {
	// reply returns what is sent for a call; nil for nothing. A peer without
	// one, or whose answer is usual, answers as libvirt does.
	reply func(c net.Conn, f frame) []byte

	mu    sync.Mutex
	calls []frame
	conns []net.Conn
}

// usual marks a call that is answered as libvirt does.
func usual() []byte { return []byte("usual") }

// serve answers on one connection until it ends.
func (p *peer) serve(c net.Conn) {
	defer c.Close()
	p.mu.Lock()
	p.conns = append(p.conns, c)
	p.mu.Unlock()
	for {
		var size [4]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		b := make([]byte, binary.BigEndian.Uint32(size[:]))
		copy(b, size[:])
		if _, err := io.ReadFull(c, b[4:]); err != nil {
			return
		}
		f := readFrame(b)
		p.mu.Lock()
		p.calls = append(p.calls, f)
		p.mu.Unlock()
		out := usual()
		if p.reply != nil {
			out = p.reply(c, f)
		}
		if string(out) == string(usual()) {
			out = ordinary(f)
		}
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

// ordinary is how a daemon with one domain and one network answers.
func ordinary(f frame) []byte {
	var w wireText
	switch f.procedure {
	case procOpen:
	case procAuthList:
		w = w.word(1).word(0)
	case procLibVersion:
		w = w.word(0).word(9_001_002)
	case procHostname:
		w = w.text("kvm1.example")
	case procDomains:
		w = w.word(1).domain("web-1").word(1)
	case procDomainXML:
		w = w.text("<domain/>")
	case procNetworks:
		w = w.word(1).text("default").raw(make([]byte, 16)...).word(1)
	case procNetworkXML:
		w = w.text("<network/>")
	case procLeases:
		w = w.word(1).text("virbr0").word(0).word(99).word(0).word(1).text("52:54:00:00:00:01").word(0).text("192.168.122.9").word(24).word(1).text("web-1").word(0).word(1)
	case procRegisterEvent, procFeature:
		w = w.word(1)
	case procNetworkUpdate:
	default:
		return refusal(f, 1, "not asked for in these tests")
	}
	return answerTo(f, w)
}

// accept serves every connection to a listener until the test ends.
func (p *peer) accept(tb testing.TB, l net.Listener) {
	tb.Helper()
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.serve(c) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		p.hangUp()
		all.Wait()
	})
}

// hangUp closes all connections.
func (p *peer) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
}

// saw lists the procedures that were called.
func (p *peer) saw() []uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []uint32
	for _, f := range p.calls {
		list = append(list, f.procedure)
	}
	return list
}

// newPeer serves a peer on a unix socket and returns the socket's path.
func newPeer(tb testing.TB, p *peer) string {
	tb.Helper()
	socket := filepath.Join(tb.TempDir(), "sock")
	l, err := net.Listen("unix", socket)
	require.NoError(tb, err)
	p.accept(tb, l)
	return socket
}

// testOptions are the defaults for one URI, in haste.
func testOptions(uri string, edit ...func(*Options)) Options {
	o := defaults()
	o.URIs = []string{uri}
	o.CallTimeout = 5 * time.Second
	for _, e := range edit {
		e(&o)
	}
	return o
}

// mustEndpoint is the one endpoint of options.
func mustEndpoint(tb testing.TB, o Options) endpoint {
	tb.Helper()
	require.NoError(tb, o.check())
	list, err := o.endpoints()
	require.NoError(tb, err)
	require.Len(tb, list, 1)
	return list[0]
}

// tryConnect connects, and closes the connection when the test ends.
func tryConnect(tb testing.TB, o Options) (*connection, error) {
	tb.Helper()
	e, begun := mustEndpoint(tb, o), time.Now()
	c, err := connect(tb.Context(), e, o)
	require.Less(tb, time.Since(begun), o.CallTimeout+2*time.Second)
	if err == nil {
		tb.Cleanup(c.close)
	}
	return c, err
}

func mustConnect(tb testing.TB, o Options) *connection {
	tb.Helper()
	c, err := tryConnect(tb, o)
	require.NoError(tb, err)
	return c
}

// toPeer connects to a peer by its unix socket.
func toPeer(tb testing.TB, p *peer, edit ...func(*Options)) *connection {
	tb.Helper()
	return mustConnect(tb, testOptions("qemu:///system?socket="+newPeer(tb, p), edit...))
}

// noLeaks fails the test if goroutines are left when it ends. Call it first, so
// that it looks last.
func noLeaks(tb testing.TB) {
	tb.Helper()
	tb.Cleanup(func() {
		var stacks string
		for range 100 {
			text := make([]byte, 1<<20)
			stacks = string(text[:runtime.Stack(text, true)])
			left := false
			for _, ours := range []string{"go-libvirt", "libvirt.(*guard)", "libvirt.(*connection)", "libvirt.connect", "libvirt.exchange", "libvirt.closingAtEnd", "ssh.(*Client)", "ssh.(*mux)"} {
				left = left || strings.Contains(stacks, ours)
			}
			if !left {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		tb.Errorf("goroutines are left:\n%s", stacks)
	})
}
