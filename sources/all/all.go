// Package all lists the kinds of source that allocsync is built with.
package all

import (
	"allocsync/sources"
	"allocsync/sources/libvirt"
	"allocsync/sources/lxd"
	"allocsync/sources/maas"
)

// Factories returns one factory for each kind, in the order in which people
// are shown them.
func Factories() []sources.Factory {
	return []sources.Factory{
		lxd.Factory(),
		libvirt.Factory(),
		maas.Factory(),
	}
}
