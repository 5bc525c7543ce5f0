// Package gomaasclient holds the MAAS emulator of fixtures/maas against
// Canonical's own Go client, so that somebody else's idea of MAAS's API agrees
// with ours. It is a module of its own: nothing of that client belongs in the
// product. Run it with
//
//	cd testbed/gomaasclient && go test ./...
//
// It needs no server. What Canonical's client cannot ask is not tried here:
// reserve with a MAC or a host name (it has no such parameters), and discovery/
// (it expects a string where MAAS's examples have a number).
package gomaasclient
