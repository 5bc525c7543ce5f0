package mapping

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
)

func TestGlob(t *testing.T) {
	for pattern, c := range map[string]struct{ yes, no []string }{
		"web":     {[]string{"web"}, []string{"", "we", "web1", "Web"}},
		"":        {[]string{""}, []string{"x"}},
		"*":       {[]string{"", "x", "a/b\nc"}, nil},
		"?":       {[]string{"x", "ü"}, []string{"", "xx"}},
		"web-*":   {[]string{"web-", "web-1"}, []string{"web", "xweb-1"}},
		"*-db-*":  {[]string{"a-db-1", "-db-", "a-db-db-"}, []string{"a-db", "db-1"}},
		"a*b*c":   {[]string{"abc", "aXbYc", "abcbc"}, []string{"ab", "acb"}},
		"**a":     {[]string{"a", "ba"}, []string{"ab"}},
		`\*`:      {[]string{"*"}, []string{"x", `\*`}},
		`a\?b*`:   {[]string{"a?b", "a?bc"}, []string{"axb"}},
		`\\`:      {[]string{`\`}, []string{`\\`}},
		"[ab]{c}": {[]string{"[ab]{c}"}, []string{"a"}},
	} {
		g, err := parseGlob(pattern)
		require.NoError(t, err, pattern)
		for _, s := range c.yes {
			require.True(t, g.holds(s), "%q %q", pattern, s)
		}
		for _, s := range c.no {
			require.False(t, g.holds(s), "%q %q", pattern, s)
		}
	}
}

// A glob holds where the regular expression of the same meaning does.
func FuzzGlob(f *testing.F) {
	for _, c := range [][2]string{{"web-*", "web-1"}, {"a*b?c*", "aabxcbxc"}, {`\*x\\`, `*x\`}, {"*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaa"}, {"ü?", "üß"}} {
		f.Add(c[0], c[1])
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(s) {
			t.Skip("names are UTF-8")
		}
		var expression strings.Builder
		escaped := false
		for _, r := range pattern {
			switch {
			case escaped:
				expression.WriteString(regexp.QuoteMeta(string(r)))
				escaped = false
			case r == '\\':
				escaped = true
			case r == '*':
				expression.WriteString(".*")
			case r == '?':
				expression.WriteString(".")
			default:
				expression.WriteString(regexp.QuoteMeta(string(r)))
			}
		}
		g, err := parseGlob(pattern)
		if (err != nil) != escaped {
			t.Fatalf("%q: error %v", pattern, err)
		}
		re, reErr := regexp.Compile("(?s)^(?:" + expression.String() + ")$")
		if err != nil || reErr != nil { // too large for regexp
			return
		}
		if got, want := g.holds(s), re.MatchString(s); got != want {
			t.Fatalf("%q on %q: %t, want %t", pattern, s, got, want)
		}
	})
}

func TestDNSName(t *testing.T) {
	label := strings.Repeat("a", 63)
	for in, want := range map[string]string{
		"":                              "",
		"web-1.example.org":             "web-1.example.org",
		"Web_1.Example.ORG.":            "web_1.example.org",
		"*.example.org":                 "*.example.org",
		"a b/c":                         "a-b-c",
		"-a-.--.b-":                     "a.b",
		"..a...b..":                     "a.b",
		"büro":                          "b-ro",
		"ü.ü":                           "",
		"00:16:3e:04:f0:95":             "00-16-3e-04-f0-95",
		"fd00::1":                       "fd00--1",
		"a\xffb":                        "a-b",
		label + "bbb.c":                 label + ".c",
		strings.Repeat("a", 62) + "--b": strings.Repeat("a", 62),
		strings.Repeat(label+".", 3) + strings.Repeat("b", 63):       strings.Repeat(label+".", 3) + strings.Repeat("b", 63), // 255
		strings.Repeat(label+".", 4) + "b":                           "",
		strings.Repeat(label+".", 3) + strings.Repeat("b", 62) + ".": strings.Repeat(label+".", 3) + strings.Repeat("b", 62),
	} {
		require.Equal(t, want, dnsName(in), in)
	}
}

// Whatever goes in, NetBox takes what comes out, it is stable, and a name that
// was fine stays as it was.
func FuzzDNSName(f *testing.F) {
	for _, s := range []string{"web-1.example.org", "Web_1.", "-a-.-", "ü", "*.x", "a\xffb", strings.Repeat("a.", 200), strings.Repeat("a", 70)} {
		f.Add(s)
	}
	accepted := regexp.MustCompile(`^([0-9a-z_*-]{1,63}\.)*[0-9a-z_*-]{1,63}$`)
	f.Fuzz(func(t *testing.T, s string) {
		name := dnsName(s)
		if name == "" {
			return
		}
		if len(name) > maxDNSName || !accepted.MatchString(name) || strings.Contains("."+name+".", ".-") || strings.Contains("."+name+".", "-.") {
			t.Fatalf("%q became %q", s, name)
		}
		if again := dnsName(name); again != name {
			t.Fatalf("%q became %q became %q", s, name, again)
		}
	})
}

func TestDescription(t *testing.T) {
	require.Equal(t, "a  b", description(" a\n\tb\r\n"))
	require.Equal(t, strings.Repeat("ü", 200), description(strings.Repeat("ü", 200)))
	require.Equal(t, strings.Repeat("ü", 199)+"…", description(strings.Repeat("ü", 201)))
	require.Equal(t, strings.Repeat("x", 198)+"…", description(strings.Repeat("x", 198)+"  y"), "no space before the ellipsis")
	require.Equal(t, "a\uFFFDb", description("a\xffb"))
}

// A template with random text in it: filling it never fails, doubled braces
// become single ones, and what is not in braces stays as it is.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"", "{name}", "{source}-nat", "{{x}}", "{{{name}}}", "{", "}", "{x}", "{name", "a}b", "{}", "ü{mac}ß"} {
		f.Add(s, "vm-1")
	}
	f.Fuzz(func(t *testing.T, s, name string) {
		tmpl, err := parseTemplate(s)
		escaped, err2 := parseTemplate(strings.NewReplacer("{", "{{", "}", "}}").Replace(s))
		if err2 != nil {
			t.Fatalf("%q escaped: %v", s, err2)
		}
		fact := &fact{source: "lab", Allocation: ipam.Allocation{Name: name, Type: "instance", Kind: ipam.Address, Prefix: netip.MustParsePrefix("10.0.0.1/24"), UsedBy: "/u", Network: "n", Project: "p", MAC: "m"}}
		if got, gap := escaped.fill(fact); got != s || gap {
			t.Fatalf("%q escaped: %q", s, got)
		}
		if err != nil {
			return
		}
		want := strings.NewReplacer("{{", "{", "}}", "}", "{source}", "lab", "{type}", "instance", "{project}", "p", "{network}", "n",
			"{name}", name, "{address}", "10.0.0.1", "{mac}", "m", "{used_by}", "/u").Replace(s)
		got, gap := tmpl.fill(fact)
		if got != want {
			t.Fatalf("%q: %q, want %q", s, got, want)
		}
		if gap != (name == "" && strings.Contains(strings.ReplaceAll(s, "{{", ""), "{name}")) {
			t.Fatalf("%q with name %q: gap %t", s, name, gap)
		}
	})
}

// Constants are the bulk of all rules: they cost nothing per allocation.
func TestConstantsAreNotCopied(t *testing.T) {
	value := "kept by allocsync"
	m, err := Compile([]Rule{{Set: Set{VRF: &value, Tenant: &value, Description: &value, Tags: []string{"a", "b"}}}, {Set: Set{Tags: []string{"c"}}}})
	require.NoError(t, err)
	f := &fact{source: "lab", Allocation: ipam.Allocation{UsedBy: "/u", Kind: ipam.Address, Prefix: netip.MustParsePrefix("10.0.0.1/24"), Type: "instance"}}
	unions := map[[2]ipam.Tags]ipam.Tags{}
	require.Zero(t, testing.AllocsPerRun(100, func() { m.claim("dc1/lab", f, unions) }))
}

func TestPlaceholdersAreThoseOfTheFields(t *testing.T) {
	require.Equal(t, []string{"source", "type", "project", "network", "name", "address", "mac", "used_by"}, Placeholders())
}
