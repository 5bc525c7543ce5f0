package lxd

import (
	"net/url"
	"strings"

	"allocsync/ipam"
)

// uri is what a used_by says.
type uri struct {
	project  string // "default" where the URI names none
	instance string // "" where it is of something else
	network  string // "" where it is of something else
}

// parseURI reads a URI as the server writes it: /1.0/instances/NAME,
// /1.0/networks/NAME and what lies below that, each with ?project=NAME where
// the project is not default. What it does not know leaves the names empty.
func parseURI(s string) uri {
	used := ipam.UsedBy(s)
	u := uri{project: used.Query("project")}
	if u.project == "" {
		u.project = defaultProject
	}
	segments := strings.Split(used.Path(), "/")
	if len(segments) < 4 || segments[0] != "" || segments[1] != "1.0" {
		return u
	}
	name, err := url.PathUnescape(segments[3])
	if err != nil {
		return u
	}
	switch segments[2] {
	case "instances", "containers", "virtual-machines": // the latter two before LXD 3.19
		u.instance = name
	case "networks":
		u.network = name
	}
	return u
}

// writeURI writes what the server itself writes (shared/api/url.go of both):
// path segments escaped, which leaves an IPv6 address as it is, and the
// project only where it is not default.
func writeURI(project string, segments ...string) ipam.UsedBy {
	s := at(segments...)
	if project != defaultProject && project != "" {
		s += "?" + url.Values{"project": {project}}.Encode()
	}
	return ipam.UsedBy(s)
}
