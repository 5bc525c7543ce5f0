package e2e_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Where the testbed says that NetBox is.
const (
	netboxURL     = "ALLOCSYNC_TEST_NETBOX_URL"
	netboxToken   = "ALLOCSYNC_TEST_NETBOX_TOKEN"
	netboxTokenV2 = "ALLOCSYNC_TEST_NETBOX_TOKEN_V2"
	netboxShell   = "ALLOCSYNC_TEST_NETBOX_SHELL"
	netboxCtl     = "ALLOCSYNC_TEST_NETBOX_CTL"
)

// server is a NetBox, spoken to as a person with a browser would change it.
type server struct{ url, token, tokenV2 string }

type object = map[string]any

// secretList collects what may never be printed.
type secretList struct {
	mu   sync.Mutex
	list []string
}

var secrets secretList

// add takes a token of either version. The second half of nbt_KEY.SECRET is
// secret by itself.
func (s *secretList) add(tokens ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, token := range tokens {
		if _, half, ok := strings.Cut(token, "."); ok {
			s.list = append(s.list, half)
		} else if token != "" {
			s.list = append(s.list, token)
		}
	}
}

func (s *secretList) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

var prepareOnce sync.Once

// mustNetBox returns the NetBox that all tests share, with the custom fields.
func mustNetBox(t *testing.T) server {
	t.Helper()
	s := server{url: mustEnv(t, "netbox", netboxURL), token: mustEnv(t, "netbox", netboxToken), tokenV2: mustEnv(t, "netbox", netboxTokenV2)}
	prepareOnce.Do(func() {
		secrets.add(s.token, s.tokenV2)
		w := &world{T: t, netbox: s, folder: mustFolder(t), installation: theSuite.run, vrf: theSuite.run, url: s.url, token: s.token}
		w.configure(source("none", "/nowhere"))
		var o outcome
		for range 3 { // somebody else's tests may be making the same fields at the same moment
			if o = w.run("setup"); o.code == exitInStep {
				return
			}
			time.Sleep(time.Second)
		}
		t.Fatalf("allocsync setup: exit code %d\n%s", o.code, o)
	})
	return s
}

func (s server) do(method, path string, body any) (int, []byte, error) {
	var text bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&text).Encode(body); err != nil {
			return 0, nil, err
		}
	}
	request, err := http.NewRequest(method, s.url+"/api/"+path, &text)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", "Token "+s.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

func (s server) must(t *testing.T, method, path string, body any) object {
	t.Helper()
	status, answer, err := s.do(method, path, body)
	require.NoError(t, err)
	require.Less(t, status, 300, "%s %s: %s", method, path, answer)
	var o object
	if len(answer) > 0 {
		require.NoError(t, json.Unmarshal(answer, &o))
	}
	return o
}

func (s server) mustCreate(t *testing.T, path string, body object) object {
	t.Helper()
	return s.must(t, http.MethodPost, path+"/", body)
}

// row is a prefix or an address with what the tests look at.
type row struct {
	ID          int
	Address     string // of a prefix the prefix
	Prefix      bool
	VRF         string // its name; of the global table nothing
	Inside      int    // ID of the row behind NAT
	Status      string
	DNSName     string
	Description string
	Comments    string
	Tenant      string
	Tags        []string
	Owner       string
	UsedBy      string
	Type        string
	MAC         string
	GoneSince   string
	LastUpdated string
}

// rows are in the order of their addresses' text.
type rows []row

// by returns the rows by their address.
func (r rows) by() map[string]row {
	m := map[string]row{}
	for _, row := range r {
		m[row.Address] = row
	}
	return m
}

func (r rows) of(owner string) rows {
	return slices.DeleteFunc(slices.Clone(r), func(row row) bool { return row.Owner != owner })
}

// mustRows lists the rows that pass a filter: "vrf_id=7".
func (s server) mustRows(t *testing.T, filter string) rows {
	t.Helper()
	var list rows
	for _, path := range []string{"ipam/prefixes/", "ipam/ip-addresses/"} {
		next := path + "?limit=1000&" + filter
		for next != "" {
			page := s.must(t, http.MethodGet, next, nil)
			for _, o := range page["results"].([]any) {
				list = append(list, rowOf(o.(object)))
			}
			_, next, _ = strings.Cut(text(page["next"]), "/api/")
		}
	}
	slices.SortFunc(list, func(a, b row) int { return cmp.Or(strings.Compare(a.Address, b.Address), a.ID-b.ID) })
	return list
}

func rowOf(o object) row {
	_, prefix := o["prefix"]
	custom := o["custom_fields"].(object)
	r := row{
		ID: id(o), Address: text(o["address"]) + text(o["prefix"]), Prefix: prefix,
		Status: text(o["status"].(object)["value"]), DNSName: text(o["dns_name"]),
		Description: text(o["description"]), Comments: text(o["comments"]),
		Owner: text(custom["sync_owner"]), UsedBy: text(custom["used_by"]), Type: text(custom["sync_type"]),
		MAC: text(custom["hwaddr"]), GoneSince: text(custom["gone_since"]), LastUpdated: text(o["last_updated"]),
	}
	if tenant, ok := o["tenant"].(object); ok {
		r.Tenant = text(tenant["slug"])
	}
	if vrf, ok := o["vrf"].(object); ok {
		r.VRF = text(vrf["name"])
	}
	if inside, ok := o["nat_inside"].(object); ok {
		r.Inside = id(inside)
	}
	for _, tag := range o["tags"].([]any) {
		r.Tags = append(r.Tags, text(tag.(object)["slug"]))
	}
	return r
}

func id(o object) int { return int(o["id"].(float64)) }

func text(v any) string {
	s, _ := v.(string)
	return s
}

// path is where the row lives in the API.
func (r row) path() string {
	if r.Prefix {
		return fmt.Sprintf("ipam/prefixes/%d/", r.ID)
	}
	return fmt.Sprintf("ipam/ip-addresses/%d/", r.ID)
}

// removeLeftovers takes out of NetBox what this run made, whatever became of
// its tests.
func removeLeftovers() error {
	shell := os.Getenv(netboxShell)
	if shell == "" {
		return nil
	}
	cmd := exec.Command(shell)
	cmd.Stdin = strings.NewReader(fmt.Sprintf(removal, theSuite.run))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("remove what the tests left in NetBox: %w\n%s", err, out)
	}
	return nil
}

const removal = `
from extras.models import EventRule, Tag, Webhook
from ipam.models import IPAddress, Prefix, VRF
from tenancy.models import Tenant
from users.models import ObjectPermission, User
ours = "%s"
for model in (IPAddress, Prefix):
    model.objects.filter(vrf__name__startswith=ours).delete()
for model, name in ((EventRule, "name"), (Webhook, "name"), (VRF, "name"), (Tenant, "name"), (Tag, "name"), (ObjectPermission, "name"), (User, "username")):
    model.objects.filter(**{name + "__startswith": ours}).delete()
`
