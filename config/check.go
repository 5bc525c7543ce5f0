package config

import (
	"fmt"
	"net/url"
)

// check finds what is wrong with values that are fine each by itself, and
// completes the sources.
func (d *decoder) check(cfg *Config) {
	d.checkURL("netbox.url", cfg.NetBox.URL)
	if cfg.NetBox.TLSSkipVerify && cfg.NetBox.CAFile != "" {
		d.complain("netbox.tls_skip_verify", "has no use for ca_file; keep ca_file and remove this")
	}
	d.checkServe(cfg.Serve)
	names := map[string]int{}
	for i, s := range cfg.Sources {
		key := fmt.Sprintf("sources[%d]", i)
		if first, twice := names[s.Name]; twice && s.Name != "" {
			d.complain(key+".name", "is the name of sources[%d] already; give each source its own", first)
		} else {
			names[s.Name] = i
		}
		if _, given := d.where[key+".gone.after"]; given && s.Gone.Action == GoneDelete {
			d.complain(key+".gone.after", "has a meaning only with action: deprecate; add that, or remove this")
		}
	}
}

// complain reports a problem with a value that was decoded, unless something
// is wrong with it already.
func (d *decoder) complain(key, format string, args ...any) {
	if d.faulty(key) {
		return
	}
	d.report(find(d.where, key), key, format, args...)
}

// checkURL accepts what requests can be made to and nothing more: a password
// in a URL ends up in logs.
func (d *decoder) checkURL(key, text string) {
	if text == "" || d.faulty(key) {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		d.complain(key, "want a URL such as https://netbox.example.org")
	case u.User != nil:
		d.complain(key, "must not hold a user or a password; the token is a key of its own")
	case u.RawQuery != "" || u.Fragment != "":
		d.complain(key, "must end with the path; remove what follows the ? or #")
	}
}
