package libvirt

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
)

// parameters lists what may stand after the ? of a URI, for each transport
// (https://libvirt.org/uri.html#remote-uris).
func parameters(transport string) []string {
	switch transport {
	case overUnix:
		return []string{"mode", "name", "socket"}
	case overTLS:
		return []string{"mode", "name", "no_verify", "pkipath"}
	case overSSH:
		return []string{"keyfile", "known_hosts", "known_hosts_verify", "mode", "name", "no_tty", "no_verify", "socket", "sshauth"}
	}
	return []string{"mode", "name"}
}

// takeParameters reads the parameters. Values stand in no message: a program
// that fills in a URI may have put a password there.
func (a *address) takeParameters(query url.Values) error {
	valid := parameters(a.transport)
	for _, name := range slices.Sorted(maps.Keys(query)) {
		values := query[name]
		if !slices.Contains(valid, name) {
			return fmt.Errorf("has a parameter that is not known with %s; want %s", a.transport, strings.Join(valid, ", "))
		}
		if len(values) != 1 {
			return fmt.Errorf("the parameter %s stands there %d times", name, len(values))
		}
		if err := a.take(name, values[0]); err != nil {
			return err
		}
	}
	return nil
}

func (a *address) take(name, value string) error {
	switch name {
	case "socket":
		return takePath(&a.socket, name, value)
	case "pkipath":
		return takePath(&a.pkiPath, name, value)
	case "keyfile":
		return takePath(&a.keyFile, name, value)
	case "known_hosts":
		return takePath(&a.knownHosts, name, value)
	case "name":
		match := daemonURI.FindStringSubmatch(value)
		if match == nil {
			return errors.New("name= wants the URI that the daemon is to open, as in name=qemu:///system")
		}
		if err := checkDriver(match[1]); err != nil {
			return fmt.Errorf("name=: %w", err)
		}
		a.name = value
	case "mode":
		if value == "direct" {
			return errors.New("mode=direct bypasses the daemon; take it out")
		}
		if value != "auto" && value != "legacy" {
			return errors.New("mode= wants auto or legacy")
		}
	case "no_verify":
		if value != "0" && value != "1" {
			return errors.New("no_verify= wants 0 or 1")
		}
		a.noVerify = a.noVerify || value == "1"
	case "known_hosts_verify":
		switch value {
		case "normal":
		case "ignore":
			a.noVerify = true
		case "auto":
			return errors.New("known_hosts_verify=auto would trust whoever answers first and write that down; add the host's key to ssh_known_hosts_file, with ssh-keyscan")
		default:
			return errors.New("known_hosts_verify= wants normal or ignore")
		}
	case "sshauth":
		if value != "privkey" {
			return errors.New("sshauth= wants privkey: no agent, password or keyboard is asked")
		}
	case "no_tty": // nothing is ever asked
	}
	return nil
}

func takePath(into *string, name, value string) error {
	if !path.IsAbs(value) || strings.ContainsRune(value, 0) {
		return fmt.Errorf("%s= wants an absolute path", name)
	}
	*into = value
	return nil
}
