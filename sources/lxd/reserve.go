package lxd

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"allocsync/ipam"
	"allocsync/sources"
)

// maxWrites is how often a change is tried while others change the same thing,
// and backoff how much longer it waits from time to time.
const (
	maxWrites = 5
	backoff   = 50 * time.Millisecond
)

// instanceNow is an instance as it is at the moment, and what writing it back
// needs.
type instanceNow struct {
	instance
	Own      map[string]map[string]string `json:"devices"` // without the profiles'
	Profiles []string                     `json:"profiles"`

	etag  string
	whole map[string]json.RawMessage
}

// instanceNow reads one instance.
func (d *desk) instanceNow(ctx context.Context, user ipam.UsedBy) (instanceNow, error) {
	u := parseURI(string(user))
	if u.instance == "" {
		return instanceNow{}, refused("%s is no instance of this server", user)
	}
	var now instanceNow
	etag, err := d.client.read(ctx, at("instances", u.instance), u.project, &now.whole)
	if err != nil {
		return instanceNow{}, err
	}
	now.etag = etag
	for key, into := range map[string]any{
		"status": &now.Status, "expanded_config": &now.Config, "expanded_devices": &now.Devices,
		"devices": &now.Own, "profiles": &now.Profiles,
	} {
		if err := json.Unmarshal(now.whole[key], into); err != nil {
			return instanceNow{}, fmt.Errorf("%w: %s of %s is not what the API promises: %w", sources.ErrUnreachable, key, user, err)
		}
	}
	now.Name, now.Project = u.instance, u.project // older servers do not write the project
	return now, nil
}

// read reads something together with its ETag.
func (c *client) read(ctx context.Context, path, project string, into any) (etag string, err error) {
	target := path + "?" + url.Values{"project": {project}}.Encode()
	answer, err := c.send(ctx, c.rest.R(), http.MethodGet, target)
	if err == nil {
		etag, err = answer.Header().Get("ETag"), decode(answer.StatusCode(), answer.Body(), into)
	}
	if err == nil && etag == "" {
		err = fmt.Errorf("%w: the answer holds no ETag", sources.ErrUnreachable)
	}
	if err != nil {
		return "", c.failed("read", target, err)
	}
	return etag, nil
}

// again runs do until it says that it is done, at most maxWrites times: as long
// as others change what it wanted to change, and once after a write whose answer
// was lost. Each time do looks first, and sees what was carried out.
func (c *client) again(ctx context.Context, do func() (done bool, err error)) error {
	lostBefore := false
	for try := 1; ; try++ {
		done, err := do()
		switch {
		case done:
			return err
		case changedMeanwhile(err) && try == maxWrites:
			return fmt.Errorf("%w: somebody else changed it each of %d times: %w", sources.ErrUnreachable, maxWrites, err)
		case try == maxWrites || ctx.Err() != nil:
			return err
		case lost(err) && lostBefore:
			return err
		case !lost(err) && !changedMeanwhile(err) && !exists(err):
			return err
		}
		lostBefore = lostBefore || lost(err)
		select {
		case <-time.After(time.Duration(try) * backoff):
		case <-ctx.Done():
			return sources.Ended(ctx, c.timeout)
		}
	}
}

// reserveStatic gives an interface its static address.
func (d *desk) reserveStatic(ctx context.Context, wish ipam.Reservation) (held ipam.Reservation, err error) {
	n, err := d.networkAt(wish.Network)
	if err != nil {
		return held, err
	}
	err = d.client.again(ctx, func() (bool, error) {
		now, err := d.instanceNow(ctx, wish.For)
		if err != nil {
			return true, err
		}
		p, err := d.portOf(now, n, wish.MAC)
		if err != nil {
			return true, err
		}
		if p.has(wish.Addr) {
			held = p.reservation(wish.Addr)
			return true, nil
		}
		if err := p.fits(wish.Addr); err != nil {
			return true, err
		}
		if err := d.checkVacant(ctx, p, wish.Addr); err != nil {
			return true, err
		}
		key, value := markKeyOf(p.device, wish.Addr), markValue(wish.Mark, wish.Addr, p.hardware)
		p.config = cloned(p.config, familyOf(wish.Addr)+".address", wish.Addr.String())
		p.instance.Config = cloned(p.instance.Config, key, value)
		held = p.reservation(wish.Addr)
		err = d.patch(ctx, now, p.device, p.config, key, value)
		return err == nil || exists(err), err // it exists on another interface
	})
	return held, err
}

// patch writes one whole device of an instance and one key of its configuration,
// if the instance is still as it was read. A device that came from a profile
// becomes one of the instance's own.
func (d *desk) patch(ctx context.Context, now instanceNow, device string, keys map[string]string, key, value string) error {
	return d.client.write(ctx, http.MethodPatch, at("instances", now.Name), now.Project, now.etag, map[string]any{
		"devices": map[string]map[string]string{device: keys},
		"config":  map[string]string{key: value},
	})
}

// portOf finds the interface with a MAC on a network.
func (d *desk) portOf(now instanceNow, n network, mac ipam.MAC) (port, error) {
	for _, p := range d.portsOf(now.instance) {
		if p.network.id() == n.id() && p.hardware == mac && mac != "" {
			return p, nil
		}
	}
	return port{}, refused("instance %s has no interface with the MAC %q on network %s", now.Name, mac, n.Name)
}

// checkVacant asks who has an address at the moment. The server itself refuses
// static addresses of other interfaces only: one that another instance has
// leased, or that a forward listens on, it gives away (Incus 6.0.4).
func (d *desk) checkVacant(ctx context.Context, p port, addr netip.Addr) error {
	if d.server.has(extForwards) {
		h, err := d.forwardNow(ctx, p.network, addr)
		if err == nil {
			return refused("%s is taken: %s listens on it", addr, h.Ref)
		}
		if !notFound(err) && !notOffered(err) {
			return err
		}
	}
	return d.checkLeases(ctx, p, addr)
}

// checkLeases asks each project for the leases that it sees on the network:
// those of its own instances, static ones included, and the gateway.
func (d *desk) checkLeases(ctx context.Context, p port, addr netip.Addr) error {
	projects := []string{p.network.Project, p.instance.Project}
	if p.network.Project == defaultProject {
		projects = append(projects, d.sharers(p.network)...)
	}
	projects = slices.DeleteFunc(projects, func(name string) bool { return name == "" })
	slices.Sort(projects)
	return sources.Each(ctx, maxParallel, slices.Compact(projects), func(ctx context.Context, project string) error {
		var leases []lease
		err := d.client.get(ctx, at("networks", p.network.Name, "leases"), url.Values{"project": {project}}, &leases)
		if err != nil && !notOffered(err) {
			return err
		}
		for _, l := range leases {
			at, err := ipam.ParseAddr(l.Address)
			if err != nil || at != addr || p.leased(l, project) {
				continue
			}
			return refused("%s is taken: %s (%s) of project %s has it as a %s address", addr, l.Hostname, l.MAC, project, l.Type)
		}
		return nil
	})
}

// leased reports whether a lease is the interface's own. A DHCPv6 lease may show
// no MAC; then the instance's name must do.
func (p port) leased(l lease, project string) bool {
	if l.MAC != "" {
		mac, err := ipam.ParseMAC(l.MAC)
		return err == nil && mac == p.hardware
	}
	return l.handedOut() && l.Hostname == p.instance.Name && p.instance.Name != ""
}

// sharers lists the projects whose instances may have leases on a network of the
// default project: those that are seen to have an interface there, and all that
// are out of sight.
func (d *desk) sharers(n network) []string {
	return slices.DeleteFunc(slices.Clone(d.crowd), func(name string) bool {
		inScope := slices.ContainsFunc(d.projects, func(p project) bool { return p.Name == name })
		return inScope && !d.unread && !slices.ContainsFunc(d.ports, func(p port) bool {
			return p.instance.Project == name && p.network.id() == n.id()
		})
	})
}

// releaseStatic takes an interface's static address away.
func (d *desk) releaseStatic(ctx context.Context, held ipam.Reservation) error {
	n, err := d.networkAt(held.Network)
	if err != nil {
		return err
	}
	return d.client.again(ctx, func() (bool, error) {
		now, err := d.instanceNow(ctx, held.Ref)
		if notFound(err) {
			return true, nil
		}
		if err != nil {
			return true, err
		}
		ports := d.portsOf(now.instance)
		i := slices.IndexFunc(ports, func(p port) bool { return p.network.id() == n.id() && p.has(held.Addr) })
		if i < 0 {
			return true, nil
		}
		p := ports[i]
		if err := p.still(held, now); err != nil {
			return true, err
		}
		err = d.takeAway(ctx, now, p, held.Addr)
		return err == nil, err
	})
}

// still says why an interface's address is no longer the reservation that was
// held, or cannot be taken away.
func (p port) still(held ipam.Reservation, now instanceNow) error {
	mark := markOf(now.Config, p.device, held.Addr, p.hardware)
	switch {
	case p.hardware != held.MAC:
		return refused("%s of instance %s has it now, with the MAC %s", p.device, now.Name, p.hardware)
	case mark != held.Mark && mark == "":
		return refused("the mark %s is gone from %s: somebody else has it now", held.Mark, p.describe())
	case mark != held.Mark:
		return refused("it is marked %s now", mark)
	case now.Own[p.device] == nil:
		return refused("%s has it from a profile: remove it there", p.describe())
	case p.network.Type == "ovn" && p.running():
		return refused("%s runs, and on OVN the server would take its interface out and put it in again: stop it first", now.Name)
	}
	return nil
}

// takeAway writes the interface without the address. If the device is then what
// the profiles say anyway, it is taken out of the instance: reserving had copied
// it from there, and it would no longer follow them.
func (d *desk) takeAway(ctx context.Context, now instanceNow, p port, addr netip.Addr) error {
	key := markKeyOf(p.device, addr)
	device := cloned(now.Own[p.device], familyOf(addr)+".address", "")
	profiles, err := d.fromProfiles(ctx, now, p.device)
	if err != nil {
		return err
	}
	if profiles == nil || !maps.Equal(device, profiles) {
		return d.patch(ctx, now, p.device, device, key, "")
	}
	return d.without(ctx, now, p.device, key)
}

// fromProfiles returns a device as the instance would have it without one of its
// own: that of the last profile which has one, nil where there is none.
func (d *desk) fromProfiles(ctx context.Context, now instanceNow, device string) (map[string]string, error) {
	for _, name := range slices.Backward(now.Profiles) {
		var profile struct {
			Devices map[string]map[string]string `json:"devices"`
		}
		if err := d.client.get(ctx, at("profiles", name), url.Values{"project": {now.Project}}, &profile); err != nil {
			return nil, err
		}
		if profile.Devices[device] != nil {
			return profile.Devices[device], nil
		}
	}
	return nil, nil
}

// without writes the instance without one of its own devices and one key of its
// configuration. PATCH cannot take out a device, PUT replaces everything.
func (d *desk) without(ctx context.Context, now instanceNow, device, key string) error {
	body := map[string]any{}
	for _, field := range []string{"architecture", "description", "ephemeral", "profiles", "stateful"} {
		if now.whole[field] != nil {
			body[field] = now.whole[field]
		}
	}
	var config map[string]string
	if err := json.Unmarshal(now.whole["config"], &config); err != nil {
		return fmt.Errorf("%w: config of %s is not what the API promises: %w", sources.ErrUnreachable, now.Name, err)
	}
	delete(config, key)
	devices := maps.Clone(now.Own)
	delete(devices, device)
	body["config"], body["devices"] = config, devices
	return d.client.write(ctx, http.MethodPut, at("instances", now.Name), now.Project, now.etag, body)
}
