package ipam_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"allocsync/ipam"
)

// What ParsePrefix accepts is canonical: its text parses to itself, and other
// spellings of the same address give the same value.
func FuzzParsePrefix(f *testing.F) {
	for _, s := range []string{"10.1.2.3/24", "10.1.2.3", "fd00::1", "::ffff:10.1.2.3/100", "FD00::/8", "fe80::1%eth0", "0.0.0.0/0", "::1.2.3.4", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ipam.ParsePrefix(s)
		if err != nil {
			if p.IsValid() {
				t.Fatalf("%q: an error and %s", s, p)
			}
			return
		}
		if !p.IsValid() || p.Addr().Is4In6() || p.Addr().Zone() != "" {
			t.Fatalf("%q: %s is not canonical", s, p)
		}
		again, err := ipam.ParsePrefix(p.String())
		if err != nil || again != p {
			t.Fatalf("%q: %s parses to %s, %v", s, p, again, err)
		}
		upper, err := ipam.ParsePrefix(strings.ToUpper(s))
		if err != nil || upper != p {
			t.Fatalf("%q: upper case parses to %s, %v", s, upper, err)
		}
		if !strings.Contains(s, "/") && p != ipam.HostPrefix(p.Addr()) {
			t.Fatalf("%q: no length means the host, not %s", s, p)
		}
	})
}

// What ParseUsedBy accepts it returns byte for byte, and it accepts nothing
// that NetBox would keep otherwise.
func FuzzParseUsedBy(f *testing.F) {
	for _, s := range []string{"/1.0/instances/u1?project=web", "/1.0/networks/n/forwards/fd00::1", "", " ", "a\tb", "\xff", "%", "/ü?x=%zz&y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ipam.ParseUsedBy(s)
		if err != nil {
			if u != "" {
				t.Fatalf("%q: an error and %q", s, u)
			}
			return
		}
		if string(u) != s {
			t.Fatalf("%q became %q", s, u)
		}
		if s == "" || len(s) > ipam.MaxUsedBy || !utf8.ValidString(s) || strings.TrimSpace(s) != s || strings.ContainsAny(s, "\x00\n\r\t") {
			t.Fatalf("%q was accepted", s)
		}
		if !strings.HasPrefix(s, u.Path()) {
			t.Fatalf("%q has the path %q", s, u.Path())
		}
		u.Query("project")
	})
}

// What ParseMAC accepts is in the one form: lower case, colons, and its text
// parses to itself.
func FuzzParseMAC(f *testing.F) {
	for _, s := range []string{"00:16:3E:04:F0:95", "0016.3e04.f095", "00-16-3e-04-f0-95", "02:00:5e:10:00:00:00:01", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ipam.ParseMAC(s)
		if err != nil {
			if m != "" {
				t.Fatalf("%q: an error and %q", s, m)
			}
			return
		}
		if strings.Trim(string(m), "0123456789abcdef:") != "" || strings.ToLower(string(m)) != string(m) {
			t.Fatalf("%q: %q is not in lower case with colons", s, m)
		}
		if n := len(m); n != 0 && n != 17 && n != 23 && n != 59 {
			t.Fatalf("%q: %q is %d long", s, m, n)
		}
		if again, err := ipam.ParseMAC(string(m)); err != nil || again != m {
			t.Fatalf("%q: %q parses to %q, %v", s, m, again, err)
		}
	})
}

// ParseGone never fails, never returns a time before 1970, and what FormatGone
// writes of its result means the same.
func FuzzParseGone(f *testing.F) {
	for _, s := range []string{"2025-07-29T10:00:00+02:00", "2025-07-29T08:00:00Z", "1960-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		unix := ipam.ParseGone(s)
		if unix < 0 {
			t.Fatalf("%q: %d", s, unix)
		}
		text := ipam.FormatGone(unix)
		if again := ipam.ParseGone(text); again != unix {
			t.Fatalf("%q: %d is written %q, which is %d", s, unix, text, again)
		}
		if text != "" && ipam.FormatGone(ipam.ParseGone(text)) != text {
			t.Fatalf("%q: %q is not canonical", s, text)
		}
	})
}
