package config_test

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"allocsync/config"
	"allocsync/mapping"
)

var update = flag.Bool("update", false, "write the golden files anew")

// options has a field of every sort that a source may ask for.
type options struct {
	URL      string            `yaml:"url" config:"required" doc:"URL of the server."`
	Password string            `yaml:"password" config:"secret" doc:"Password."`
	Projects []string          `yaml:"projects" doc:"Projects."`
	Prefixes []netip.Prefix    `yaml:"prefixes" doc:"Prefixes."`
	Labels   map[string]string `yaml:"labels" doc:"Labels."`
	Hosts    []host            `yaml:"hosts" doc:"Hosts."`
	Retry    *int              `yaml:"retry" doc:"Retries."`
	Port     uint16            `yaml:"port" doc:"Port."`
	Socket   string            `yaml:"socket" config:"path" doc:"Socket."`
	Wait     time.Duration     `yaml:"wait" min:"1s" doc:"Wait."`
	Common   `yaml:",inline"`

	hidden int
	Hidden int `yaml:"-"`
}

type host struct {
	Name string `yaml:"name" config:"required" doc:"Name."`
	Slow bool   `yaml:"slow" doc:"Slow."`
}

// Common is spread into options.
type Common struct {
	CAFile string `yaml:"ca_file" doc:"Authorities."`
}

func testKinds() map[string]func() any {
	return map[string]func() any{
		"lxd":  func() any { return &options{Port: 8443, Wait: 5 * time.Second, hidden: 1, Hidden: 2} },
		"none": func() any { return &struct{}{} },
	}
}

func environment(name string) (string, bool) {
	v, ok := map[string]string{
		"TOKEN": "s3cret", "SIZE": "500", "EMPTY": "", "NESTED": "${TOKEN}", "HOST": "netbox.example.org", "YES": "true", "WAIT": "90s", "SHARE": "0.5", "BAD": "s3cret bad",
	}[name]
	return v, ok
}

func parse(text string) (*config.Config, []mapping.Rule, error) {
	var rules []mapping.Rule
	c, err := config.Parse("dir/a.yaml", []byte(text), environment, testKinds(), &rules)
	return c, rules, err
}

const base = "installation: dc1\nnetbox: {url: 'https://netbox.example.org', token: '${TOKEN}'}\n"

const full = base + "sources:\n  - name: lab\n    kind: lxd\n    options: {url: x}\n"

func mustParse(t testing.TB, text string) (*config.Config, []mapping.Rule) {
	t.Helper()
	c, rules, err := parse(text)
	require.NoError(t, err)
	return c, rules
}

func TestDefaults(t *testing.T) {
	c, rules := mustParse(t, full)
	require.Empty(t, rules)
	d := config.Default()
	d.NetBox.URL, d.NetBox.Token = c.NetBox.URL, c.NetBox.Token
	require.Equal(t, d.NetBox, c.NetBox)
	require.Equal(t, d.Limits, c.Limits)
	want := d.Sources[0]
	want.Name, want.Kind, want.Options = "lab", "lxd", c.Sources[0].Options
	require.Equal(t, []config.Source{want}, c.Sources)
	require.Equal(t, &options{URL: "x", Port: 8443, Wait: 5 * time.Second, hidden: 1, Hidden: 2}, c.Sources[0].Options)
	require.Equal(t, "dc1/lab", c.Sources[0].Owner(c.Installation))
}

func TestEveryKey(t *testing.T) {
	c, rules := mustParse(t, mustRead(t, "testdata/full.yaml"))
	require.Equal(t, "dc1", c.Installation)
	require.Equal(t, "s3cret", c.NetBox.Token.Reveal())
	c.NetBox.Token = config.Secret{}
	require.Equal(t, config.NetBox{URL: "https://netbox.example.org/nb", CAFile: "dir/ca.pem", Timeout: 90 * time.Second, PageSize: 500, Batch: 20, Retries: 0}, c.NetBox)
	require.Equal(t, config.Limits{Share: 0.5, FromRows: 20, Count: 5}, c.Limits)
	lab := c.Sources[0]
	require.Equal(t, config.Allow{Create: true, Update: true}, lab.Allow)
	require.Equal(t, config.Gone{Action: config.GoneDeprecate, After: 24 * time.Hour}, lab.Gone)
	require.Equal(t, config.Limits{Share: 1, FromRows: 20, Count: 4}, lab.Limits)
	retry := 3
	require.Equal(t, &options{
		URL: "https://a", Password: "p", Projects: []string{"one"}, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Labels: map[string]string{"a": "1", "b c": "2"}, Hosts: []host{{Name: "h1", Slow: true}, {Name: "h2"}}, Retry: &retry, Port: 1,
		Socket: "/run/x.sock", Wait: time.Minute, Common: Common{CAFile: "dir/sub/ca.pem"}, hidden: 1, Hidden: 2,
	}, lab.Options)
	require.Equal(t, &struct{}{}, c.Sources[1].Options)
	require.Equal(t, config.Limits{Share: 0.5, FromRows: 20, Count: 5}, c.Sources[1].Limits)
	yes, no := true, false
	text := func(s string) *string { return &s }
	require.Equal(t, []mapping.Rule{
		{Name: "all", Match: mapping.Match{Source: []string{"lab"}, Type: []string{"instance", "network"}, Project: []string{""}, Network: []string{"n*"}, Kind: []string{"address"},
			NAT: &yes, Dynamic: &no, Name: []string{"web-?"}, UsedBy: []string{"/1.0/*"}, CIDR: []string{"10.0.0.0/8"}},
			Set: mapping.Set{Skip: &no, VRF: text("{source}"), Status: text("active"), Role: text("vip"), Tenant: text("t"), DNSName: text("{name}.example.org"), Description: text("${{x}} ok"), Tags: []string{"a", "b"}}},
		{Set: mapping.Set{Skip: &yes}},
	}, rules)
	_, err := mapping.Compile(rules)
	require.NoError(t, err)
	c, _ = mustParse(t, full+"    limits: {count: 9}\nlimits: {share: 0.5}\n")
	require.Equal(t, config.Limits{Share: 0.5, FromRows: 10, Count: 9}, c.Sources[0].Limits, "key by key over those of the file, which are over the defaults")
}

func TestRulesAreWhatWasGiven(t *testing.T) {
	c, rules := mustParse(t, full+"rules: [{set: {skip: true}}]\n")
	require.Same(t, &rules[0], &(*c.Rules.(*[]mapping.Rule))[0])
}

func mustRead(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(b)
}

// Each file in testdata/bad is wrong in many ways; what is said about it
// stands beside it.
func TestProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, _, err := parse(mustRead(t, file))
			require.Error(t, err)
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644))
			}
			require.Equal(t, mustRead(t, golden), err.Error()+"\n")
			require.NotContains(t, err.Error(), "s3cret")
		})
	}
}

func TestProblem(t *testing.T) {
	c, _ := mustParse(t, full+"rules:\n  - set:\n      status: active\n  - &x {set: {skip: true}}\n  - *x\n")
	require.EqualError(t, c.Problem("rules[0].set.status", "is odd"), "dir/a.yaml:9:15: rules[0].set.status: is odd")
	require.EqualError(t, c.Problem("rules[0].set.tags", "is odd"), "dir/a.yaml:9:7: rules[0].set.tags: is odd", "a key that is not there: what would hold it")
	require.EqualError(t, c.Problem("rules[2].set.skip", "is odd"), "dir/a.yaml:11:5: rules[2].set.skip: is odd", "the alias, not its anchor")
	require.EqualError(t, c.Problem("sources[0].options.url", "is odd"), "dir/a.yaml:6:20: sources[0].options.url: is odd")
	require.EqualError(t, c.Problem("sources[7].options", "is odd"), "dir/a.yaml:4:3: sources[7].options: is odd")
	require.EqualError(t, c.Problem("", "is odd"), "dir/a.yaml:1:1: is odd")
}

func TestWithoutRules(t *testing.T) {
	c, err := config.Parse("a.yaml", []byte(full+"rules: [{anything: 1}]\n"), environment, testKinds(), nil)
	require.NoError(t, err)
	require.Nil(t, c.Rules)
}

func TestURL(t *testing.T) {
	for url, want := range map[string]string{
		"https://netbox.example.org":        "",
		"http://10.1.2.3:8000/netbox/api/":  "",
		"http://[fd00::1]:8000":             "",
		"netbox.example.org":                "want a URL such as https://netbox.example.org",
		"ftp://netbox.example.org":          "want a URL such as https://netbox.example.org",
		"https:///x":                        "want a URL such as https://netbox.example.org",
		"https://net box":                   "want a URL such as https://netbox.example.org",
		"https://me:s3cret@netbox.org":      "must not hold a user or a password; the token is a key of its own",
		"https://netbox.example.org/?a=1":   "must end with the path; remove what follows the ? or #",
		"https://netbox.example.org/#token": "must end with the path; remove what follows the ? or #",
	} {
		_, _, err := parse(strings.Replace(full, "https://netbox.example.org", url, 1))
		if want == "" {
			require.NoError(t, err, url)
		} else {
			require.EqualError(t, err, "dir/a.yaml:2:15: netbox.url: "+want, url)
		}
	}
}

// Types nest to a fixed depth, so aliases cannot grow a file without end, but
// a list of thousands can stand in each of thousands of rules.
func TestAliasesAreBounded(t *testing.T) {
	list := "&l [" + strings.Repeat("x,", 10_000) + "]"
	text := full + "rules:\n  - &r {match: {type: " + list + ", name: *l}, set: {tags: *l}}\n" + strings.Repeat("  - *r\n", 10_000)
	begin := time.Now()
	_, _, err := parse(text)
	require.ErrorContains(t, err, "aliases stand for more than 10000 values")
	require.Less(t, time.Since(begin), 20*time.Second)
}
