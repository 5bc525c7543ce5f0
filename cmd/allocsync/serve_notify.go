package main

import (
	"net"
	"strings"
)

// notifier tells systemd how the service is doing, where it asks for that:
// https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
type notifier struct{ address string }

func newNotifier(env func(string) (string, bool)) notifier {
	address, _ := env("NOTIFY_SOCKET")
	if rest, abstract := strings.CutPrefix(address, "@"); abstract {
		address = "\x00" + rest
	}
	return notifier{address}
}

func (n notifier) ready()    { n.send("READY=1") }
func (n notifier) stopping() { n.send("STOPPING=1") }

// send is of no consequence where it fails: nobody listens then.
func (n notifier) send(text string) {
	if n.address == "" {
		return
	}
	conn, err := net.Dial("unixgram", n.address)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = conn.Write([]byte(text))
}
