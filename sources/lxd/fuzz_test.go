package lxd

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"allocsync/ipam"
)

// FuzzRow: whatever a row holds, it becomes facts that pass Check, or an
// error. No address of it is lost.
func FuzzRow(f *testing.F) {
	for _, seed := range []string{
		`{"addresses":"10.77.1.1/24","hwaddr":"","nat":true,"type":"network","used_by":"/1.0/networks/brnat"}`,
		`{"addresses":"2001:db8:99::5/128","hwaddr":"","nat":false,"type":"network-forward","used_by":"/1.0/networks/brpub/forwards/2001:db8:99::5"}`,
		`{"addresses":["10.1.2.3/32","fd00::1"],"hwaddr":"00-16-3E-04-F0-95","type":"instance","used_by":"/1.0/instances/u1?project=r%26d"}`,
		`{"address":"::ffff:10.1.2.3/128","type":"instance","used_by":"/1.0/instances/%2A"}`,
		`{"addresses":"203.0.113.129/26","address":["203.0.113.129/26"],"type":"uplink","used_by":"/1.0/networks/ovn1","network":"ovn1"}`,
		`{"addresses":null,"type":"network","used_by":"x"}`,
		`{"addresses":5}`, `[]`, `null`, `{}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var r row
		if json.Unmarshal([]byte(text), &r) != nil {
			return
		}
		facts, err := r.allocations()
		if err != nil {
			require.Empty(t, facts)
			return
		}
		require.NotEmpty(t, facts)
		found := map[string]bool{}
		for _, a := range facts {
			require.NoError(t, a.Check())
			require.Equal(t, ipam.UsedBy(r.UsedBy), a.UsedBy)
			if a.Kind == ipam.Address {
				found[a.Prefix.String()] = true
			}
		}
		for _, address := range r.Addresses {
			p, err := ipam.ParsePrefix(address)
			require.NoError(t, err)
			require.True(t, found[p.String()], "%s is lost", address)
		}
	})
}

// FuzzURI: what is written is what the server writes, and reads back.
func FuzzURI(f *testing.F) {
	f.Add("u1", "web")
	f.Add("u1", "default")
	f.Add("*", "r&d")
	f.Add("a/b?c#d e", "é+%")
	f.Add("2001:db8::5", "")
	f.Fuzz(func(t *testing.T, name, project string) {
		if name == "" {
			return
		}
		want := project
		if project == "" {
			want = defaultProject
		}
		instance := writeURI(project, "instances", name)
		require.Equal(t, uri{project: want, instance: name}, parseURI(string(instance)))
		require.Equal(t, uri{project: want, network: name}, parseURI(string(writeURI(project, "networks", name, "forwards", "2001:db8::5"))))

		u, err := url.Parse(string(instance))
		require.NoError(t, err)
		require.Equal(t, "/1.0/instances/"+name, u.Path)
		require.Equal(t, want != defaultProject, strings.Contains(string(instance), "?project="))
	})
}

// FuzzParseURI: any text is read without a panic, and names something only if
// the text begins as the server's URIs do.
func FuzzParseURI(f *testing.F) {
	for _, seed := range []string{
		"/1.0/instances/u1", "/1.0/containers/u1?project=a&target=b", "/1.0/networks/n/load-balancers/192.0.2.1?project=x",
		"/1.0/networks", "//", "/1.0/instances/%zz", "?project=%zz", "", "/1.0/profiles/default",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u := parseURI(text)
		require.NotEmpty(t, u.project)
		if u.instance != "" || u.network != "" {
			require.True(t, strings.HasPrefix(text, "/1.0/"))
			require.False(t, u.instance != "" && u.network != "")
		}
	})
}

func TestParseURI(t *testing.T) {
	for text, want := range map[string]uri{
		"/1.0/instances/u1":                                               {"default", "u1", ""},
		"/1.0/instances/u1?project=web":                                   {"web", "u1", ""},
		"/1.0/instances/%2A":                                              {"default", "*", ""},
		"/1.0/containers/old":                                             {"default", "old", ""},
		"/1.0/networks/brpub/forwards/2001:db8:99::5":                     {"default", "", "brpub"},
		"/1.0/networks/ovn1/load-balancers/192.0.2.50?project=own-net":    {"own-net", "", "ovn1"},
		"/1.0/instances/c1?project=r%26d&target=m1":                       {"r&d", "c1", ""},
		"/1.0/storage-pools/default/volumes/custom/v?project=web":         {"web", "", ""},
		"https://elsewhere.example/1.0/instances/u1":                      {"default", "", ""},
		"/1.0/instances/u1/snapshots/s?project=default&something=another": {"default", "u1", ""},
	} {
		require.Equal(t, want, parseURI(text), text)
	}
}
