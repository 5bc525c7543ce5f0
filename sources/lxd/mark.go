package lxd

import (
	"net/netip"
	"strings"

	"allocsync/ipam"
)

// markKey is the key of a forward's configuration that holds the mark of its
// reservation, and the beginning of the keys of an instance's.
//
// The mark of an interface's address is in the configuration of the instance,
// and not with the device: a change to a user.* key of a device takes the
// interface of a running instance out and puts it in again (Incus 6.0.4).
const markKey = "user.allocsync"

// markKeyOf is the instance's key that holds the mark of one device's address.
func markKeyOf(device string, addr netip.Addr) string {
	return markKey + "." + device + "." + familyOf(addr)
}

// markValue is the mark together with what it is of: where a person gives the
// interface another address, or copies the instance, the mark is left behind
// and says nothing of the new one.
func markValue(mark string, addr netip.Addr, mac ipam.MAC) string {
	return mark + " " + addr.String() + " " + string(mac)
}

// markOf reads the mark of one device's address, "" where there is none or
// where it is of another address or interface.
func markOf(config map[string]string, device string, addr netip.Addr, mac ipam.MAC) string {
	mark, ours := strings.CutSuffix(config[markKeyOf(device, addr)], markValue("", addr, mac))
	if !ours {
		return ""
	}
	return mark
}
