package libvirt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"github.com/stretchr/testify/require"

	"allocsync/sources"
)

// TestWrongAnswers: whatever a daemon answers, the call fails, says so, and the
// connection is over; nothing panics, hangs or allocates what a length says.
func TestWrongAnswers(t *testing.T) {
	noLeaks(t)
	const huge = 1<<31 - 8
	nonsense := func(text string) string { return "source cannot be reached: the answer makes no sense: " + text }
	badDomains := nonsense("the answer to procedure 273 is not what the protocol says")
	header := func(size uint32, rest ...byte) []byte { return append(wireText{}.word(size), rest...) }
	for _, test := range []struct {
		name  string
		reply func(f frame) []byte // to the list of domains
		want  string
	}{
		{"a length of nothing", func(frame) []byte { return header(0) }, nonsense("a message says that it is 0 bytes long; is this libvirt?")},
		{"a length less than the header", func(frame) []byte { return header(27, make([]byte, 23)...) }, nonsense("a message says that it is 27 bytes long; is this libvirt?")},
		{"a length above the limit", func(frame) []byte { return header(128<<10 + 1) }, "a message of 131073 bytes is larger than max_bytes, 131072; raise max_bytes, if it is below 32 MiB"},
		{"text", func(frame) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") }, "a message of 1213486160 bytes is larger than max_bytes, 131072; raise max_bytes, if it is below 32 MiB"},
		{"an answer to no call", func(f frame) []byte { f.serial = 99; return answerTo(f, nil) }, nonsense("an answer to call 99, procedure 273, which waits for none")},
		{"an answer to a call that was answered", func(f frame) []byte { f.serial--; f.procedure = procOpen; return answerTo(f, nil) }, nonsense("an answer to call 2, procedure 1, which waits for none")},
		{"an answer of another procedure", func(f frame) []byte { f.procedure = procHostname; return answerTo(f, wireText{}.text("x")) }, nonsense("an answer to call 3, procedure 59, which waits for none")},
		{"a call", func(f frame) []byte { return message(f.procedure, typeCall, f.serial, statusOK, nil) }, nonsense("a message of type 0, which was not asked for")},
		{"an unknown status", func(f frame) []byte {
			return message(f.procedure, typeReply, f.serial, 2, wireText{}.word(0).word(0))
		}, badDomains},
		{"another program", func(f frame) []byte {
			b := answerTo(f, wireText{}.word(0).word(0))
			b[7]++
			return b
		}, nonsense("an answer of program 0x20008087 version 1, which was not asked")},
		{"nothing", func(f frame) []byte { return answerTo(f, nil) }, badDomains},
		{"a long list without elements", func(f frame) []byte { return answerTo(f, wireText{}.word(huge).word(0)) }, badDomains},
		{"a list that is cut off", func(f frame) []byte { return answerTo(f, wireText{}.word(2).domain("a").word(2)) }, badDomains},
		{"a long name", func(f frame) []byte {
			return answerTo(f, wireText{}.word(1).word(huge).raw(make([]byte, 64)...))
		}, badDomains},
		{"a long name in the second element", func(f frame) []byte {
			return answerTo(f, wireText{}.word(2).domain("a").word(huge).raw(make([]byte, 64)...))
		}, badDomains},
		{"a name of 4 GiB", func(f frame) []byte { return answerTo(f, wireText{}.word(1).word(1<<32-1).raw(make([]byte, 24)...)) }, badDomains},
		{"something after the end", func(f frame) []byte { return answerTo(f, wireText{}.word(0).word(0).word(0)) }, badDomains},
		{"a wrong count", func(f frame) []byte { return answerTo(f, wireText{}.word(1).domain("a").word(2)) }, nonsense("a list of 1 says that it has 2")},
		{"an error without a text", func(f frame) []byte {
			return message(f.procedure, typeReply, f.serial, statusError, wireText{}.word(1).word(0).word(0).word(huge))
		}, badDomains},
		{"an error with a long text", func(f frame) []byte {
			return message(f.procedure, typeReply, f.serial, statusError, wireText{}.word(1).word(0).word(1).word(huge).word(0))
		}, badDomains},
		{"an error that is none", func(f frame) []byte { return refusal(f, 0, "all is well") }, nonsense("procedure 273 fails without an error")},
		{"an event that is none", func(frame) []byte {
			return message(318, typeMessage, 0, statusOK, wireText{}.word(1).word(huge).word(0))
		}, nonsense("event 318 is not what the protocol says")},
		{"an event that fails", func(frame) []byte {
			return message(318, typeMessage, 0, statusError, wireText{}.word(1).domain("a").word(0).word(0))
		}, nonsense("event 318 is not what the protocol says")},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := &peer{reply: func(_ net.Conn, f frame) []byte {
				if f.procedure == procDomains {
					return test.reply(f)
				}
				return usual()
			}}
			c := toPeer(t, p, func(o *Options) { o.MaxBytes = 128 << 10 })
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			list, err := c.domains(t.Context())
			runtime.ReadMemStats(&after)
			require.EqualError(t, err, "list the domains of localhost: "+test.want)
			require.ErrorIs(t, err, sources.ErrUnreachable)
			require.Empty(t, list)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20))
			if test.name != "a wrong count" { // the wire is all right there
				require.True(t, c.lost())
			}
		})
	}
}

// TestSecondAnswer: go-libvirt would stand still for good, holding a lock.
func TestSecondAnswer(t *testing.T) {
	noLeaks(t)
	for range 20 {
		p := &peer{reply: func(_ net.Conn, f frame) []byte {
			if f.procedure != procHostname {
				return usual()
			}
			return bytes.Repeat(ordinary(f), 2)
		}}
		c := toPeer(t, p)
		_, _ = c.hostname(t.Context()) // the first answer is as good as any
		_, err := c.domains(t.Context())
		require.EqualError(t, err, "list the domains of localhost: source cannot be reached: the answer makes no sense: an answer to call 3, procedure 59, which waits for none")
	}
}

// TestAnswerBeforeTheCall: an answer that comes while its call is being sent
// waits; if that fails, nothing stands still.
func TestAnswerBeforeTheCall(t *testing.T) {
	noLeaks(t)
	near, far := net.Pipe() // holds nothing: what is written waits for its reader
	defer far.Close()
	g := newGuard(near, 64<<10)
	g.settled()
	sent := make(chan error, 1)
	read := make(chan error, 1)
	call := message(procHostname, typeCall, 1, statusOK, nil)
	go func() { _, err := g.Write(call); sent <- err }()
	go func() {
		_, err := io.ReadFull(g, make([]byte, headerSize))
		read <- err
	}()
	_, err := io.ReadFull(far, make([]byte, 5)) // the rest of the call stays unread
	require.NoError(t, err)
	_, err = far.Write(answerTo(readFrame(call), wireText{}.text("early")))
	require.NoError(t, err)
	select {
	case err := <-read:
		require.FailNow(t, "the answer was handed on", "%v", err)
	case <-time.After(50 * time.Millisecond):
	}
	require.NoError(t, far.Close())
	require.ErrorIs(t, <-sent, errClosed)
	require.ErrorIs(t, <-read, errClosed)
	cause, lost := g.lost()
	require.True(t, lost)
	require.ErrorIs(t, cause, sources.ErrUnreachable)
}

// TestDeath: a daemon that dies at any byte of an answer.
func TestDeath(t *testing.T) {
	noLeaks(t)
	whole := len(ordinary(frame{procedure: procDomains}))
	for cut := range whole {
		p := &peer{reply: func(c net.Conn, f frame) []byte {
			if f.procedure != procDomains {
				return usual()
			}
			_, _ = c.Write(ordinary(f)[:cut])
			_ = c.Close()
			return nil
		}}
		c := toPeer(t, p)
		_, err := c.domains(t.Context())
		require.EqualError(t, err, "list the domains of localhost: source cannot be reached: the connection was lost: the daemon closed it")
		require.ErrorIs(t, err, sources.ErrUnreachable)
		require.True(t, c.lost())
	}
}

// TestDeathWhileConnecting: at each step, and right after the last, when
// go-libvirt is not done yet. The race detector looks on.
func TestDeathWhileConnecting(t *testing.T) {
	noLeaks(t)
	for _, last := range []uint32{procAuthList, procOpen} {
		for _, answers := range []bool{false, true} {
			p := &peer{reply: func(c net.Conn, f frame) []byte {
				if f.procedure == last {
					if answers {
						_, _ = c.Write(ordinary(f))
					}
					_ = c.Close()
					return nil
				}
				return usual()
			}}
			o := testOptions("qemu:///system?socket=" + newPeer(t, p))
			for range 50 {
				c, err := connect(t.Context(), mustEndpoint(t, o), o)
				if err == nil { // it died a moment later
					<-c.ended()
					_, err = c.hostname(t.Context())
					c.close()
				}
				require.ErrorIs(t, err, sources.ErrUnreachable)
				require.ErrorContains(t, err, "the connection was lost: ")
			}
		}
	}
}

// TestOnlyReads: what would change something does not leave.
func TestOnlyReads(t *testing.T) {
	noLeaks(t)
	p := &peer{}
	c := toPeer(t, p)
	require.Error(t, c.remote.DomainDestroy(golibvirt.Domain{Name: "web-1"}))
	require.True(t, c.lost())
	require.EqualError(t, c.guard.cause, "procedure 12 of program 0x20008086 is not one of those that only read")
	require.Equal(t, []uint32{procAuthList, procOpen}, p.saw())
}

// TestWaysToLogIn: go-libvirt goes on without logging in where it knows none of
// the ways that the daemon offers.
func TestWaysToLogIn(t *testing.T) {
	offering := func(ways ...uint32) string {
		return newPeer(t, &peer{reply: func(_ net.Conn, f frame) []byte {
			switch f.procedure {
			case procAuthList:
				w := wireText{}.word(uint32(len(ways)))
				for _, way := range ways {
					w = w.word(way)
				}
				return answerTo(f, w)
			case procAuthPolkit:
				return answerTo(f, wireText{}.word(1))
			}
			return usual()
		}})
	}
	_, err := tryConnect(t, testOptions("qemu:///system?socket="+offering(1)))
	require.ErrorIs(t, err, sources.ErrDenied)
	require.EqualError(t, err, "connect to localhost: access denied: the daemon wants a user name and password (SASL); SASL is not spoken here: reach the host with tls and a client certificate, or with ssh")
	for _, ways := range [][]uint32{{0}, {2}, {1, 2}, {2, 1}} {
		mustConnect(t, testOptions("qemu:///system?socket="+offering(ways...)))
	}
}

// TestOtherMessages: what is not for this client is passed over.
func TestOtherMessages(t *testing.T) {
	keepalive := wireText{}.word(headerSize).word(0x6b656570).word(1).word(1).word(typeMessage).word(0).word(0)
	reboot := message(319, typeMessage, 0, statusOK, wireText{}.word(1).word(1<<31-8)) // go-libvirt would decode it
	p := &peer{reply: func(_ net.Conn, f frame) []byte {
		if f.procedure == procHostname {
			return bytes.Join([][]byte{keepalive, reboot, ordinary(f)}, nil)
		}
		return usual()
	}}
	c := toPeer(t, p)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	name, err := c.hostname(t.Context())
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.Equal(t, "kvm1.example", name)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20))
}

func TestEvents(t *testing.T) {
	noLeaks(t)
	p := &peer{}
	c := toPeer(t, p)
	_, err := c.subscribe(golibvirt.DomainEventIDReboot)
	require.Error(t, err)
	events, err := c.subscribe(golibvirt.DomainEventIDMetadataChange)
	require.NoError(t, err)
	const n = 1000
	for range n {
		_, err = p.conns[0].Write(message(379, typeMessage, 0, statusOK, wireText{}.word(1).domain("web-1").word(2).word(1).text("http://example/")))
		require.NoError(t, err)
	}
	for range n {
		e := <-events
		require.IsType(t, &golibvirt.DomainEventCallbackMetadataChangeMsg{}, e)
		require.Equal(t, "web-1", e.(*golibvirt.DomainEventCallbackMetadataChangeMsg).Dom.Name)
	}
	for range n { // these nobody receives
		_, err = p.conns[0].Write(message(379, typeMessage, 0, statusOK, wireText{}.word(1).domain("web-1").word(2).word(0)))
		require.NoError(t, err)
	}
	p.hangUp()
	<-c.ended()
	for range events { // it is closed
	}
}

// TestEventsThatNobodyReceives: they keep nothing alive once the connection is
// closed.
func TestEventsThatNobodyReceives(t *testing.T) {
	p := &peer{}
	c := toPeer(t, p)
	noLeaks(t) // looks before the peer hangs up
	_, err := c.subscribe(golibvirt.DomainEventIDLifecycle)
	require.NoError(t, err)
	for range 10 {
		_, err = p.conns[0].Write(message(318, typeMessage, 0, statusOK, wireText{}.word(1).domain("web-1").word(2).word(0)))
		require.NoError(t, err)
	}
	_, err = c.hostname(t.Context()) // by now they have come
	require.NoError(t, err)
	c.close()
}

// TestClosedAmidEvents: go-libvirt stands still where a subscription ends while
// its reader still hands on an event.
func TestClosedAmidEvents(t *testing.T) {
	p := &peer{}
	p.reply = func(c net.Conn, f frame) []byte {
		if f.procedure != procRegisterEvent {
			return usual()
		}
		flood := bytes.Repeat(message(318, typeMessage, 0, statusOK, wireText{}.word(1).domain("web-1").word(2).word(0)), 100)
		if _, err := c.Write(ordinary(f)); err == nil {
			for err == nil {
				_, err = c.Write(flood)
			}
		}
		return nil
	}
	o := testOptions("qemu:///system?socket=" + newPeer(t, p))
	noLeaks(t) // looks before the peer hangs up
	for range 100 {
		c, err := connect(t.Context(), mustEndpoint(t, o), o)
		require.NoError(t, err)
		events, err := c.subscribe(golibvirt.DomainEventIDLifecycle)
		require.NoError(t, err)
		<-events
		c.close()
		for range events { // it is closed
		}
	}
}

// TestSubscribeToTheDying: a subscription that is made while the connection is
// lost ends all the same.
func TestSubscribeToTheDying(t *testing.T) {
	noLeaks(t)
	p := &peer{reply: func(c net.Conn, f frame) []byte {
		if f.procedure == procRegisterEvent {
			_, _ = c.Write(ordinary(f))
			_ = c.Close()
			return nil
		}
		return usual()
	}}
	o := testOptions("qemu:///system?socket=" + newPeer(t, p))
	for range 300 {
		c, err := connect(t.Context(), mustEndpoint(t, o), o)
		require.NoError(t, err)
		events, err := c.subscribe(golibvirt.DomainEventIDLifecycle)
		if err != nil {
			require.ErrorIs(t, err, sources.ErrUnreachable)
			continue
		}
		select {
		case _, open := <-events:
			require.False(t, open)
		case <-time.After(5 * time.Second):
			require.FailNow(t, "the subscription goes on")
		}
	}
}

// replay is a connection on which some bytes come in, whatever is sent.
type replay struct {
	net.Conn
	in *bytes.Reader
}

func (r replay) Read(p []byte) (int, error)  { return r.in.Read(p) }
func (r replay) Write(p []byte) (int, error) { return len(p), nil }
func (r replay) Close() error                { return nil }

// FuzzGuard: whatever comes in, only whole answers to calls that were made, and
// events, are handed on, each but once; nothing is allocated that did not come.
func FuzzGuard(f *testing.F) {
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	for serial, procedure := range []uint32{procOpen, procAuthList, procDomains, procLeases, procNetworks, procDomainXML, procLibVersion, procRegisterEvent} {
		call := frame{procedure: procedure, serial: int32(serial + 1)}
		f.Add(ordinary(call))
		f.Add(append(ordinary(call), ordinary(call)...))
		f.Add(refusal(call, 42, "no domain"))
	}
	f.Add(message(379, typeMessage, 0, statusOK, wireText{}.word(1).domain("a").word(2).word(0)))
	f.Fuzz(func(t *testing.T, in []byte) {
		g := newGuard(replay{in: bytes.NewReader(in)}, 64<<10)
		g.settled()
		procedures := map[int32]uint32{}
		for serial, procedure := range []uint32{procOpen, procAuthList, procDomains, procLeases, procNetworks, procDomainXML, procLibVersion, procRegisterEvent} {
			var payload wireText
			if procedure == procOpen {
				payload = payload.word(1).text("qemu:///system").word(0)
			}
			procedures[int32(serial+1)] = procedure
			_, err := g.Write(message(procedure, typeCall, int32(serial+1), statusOK, payload))
			require.NoError(t, err)
		}
		out, err := io.ReadAll(g)
		require.True(t, errors.Is(err, errClosed))
		require.NotNil(t, g.cause)
		require.LessOrEqual(t, len(out), len(in))
		require.LessOrEqual(t, g.in.Cap(), 4*len(in)+1024)
		for len(out) > 0 {
			require.GreaterOrEqual(t, len(out), headerSize)
			n := int(binary.BigEndian.Uint32(out))
			require.True(t, n >= headerSize && n <= len(out))
			got := readFrame(out[:n])
			if got.kind == typeReply {
				require.Equal(t, procedures[got.serial], got.procedure)
				delete(procedures, got.serial)
			}
			out = out[n:]
		}
	})
}
