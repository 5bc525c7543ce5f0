package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// world is one test's surroundings: a VRF of its own in a NetBox, a proxy in
// front of that, and a configuration file.
type world struct {
	*testing.T
	netbox server
	proxy  *proxy
	folder string

	installation string
	vrf          string // its name
	vrfID        int

	// What the configuration file says; configure writes it.
	url        string
	token      string
	netboxKeys []string // further keys below netbox:, "timeout: 2s"
	keys       []string // further keys at the top
	rules      string   // replaces the default rules

	env []string // further variables of the program's environment, NAME=VALUE
}

// newWorld gives a test its surroundings on the NetBox that all share.
func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	return newWorldOn(t, mustNetBox(t))
}

func newWorldOn(t *testing.T, netbox server) *world {
	t.Helper()
	w := &world{
		T: t, netbox: netbox, proxy: newProxy(t, netbox.url), folder: mustFolder(t),
		installation: theSuite.run + "-" + randomHex(2), token: netbox.token,
	}
	w.vrf = w.installation
	w.url = w.proxy.url()
	w.vrfID = id(netbox.mustCreate(t, "ipam/vrfs", object{"name": w.vrf}))
	return w
}

// neighbour is another installation that writes to the same VRF.
func (w *world) neighbour() *world {
	other := *w
	other.proxy = newProxy(w.T, w.netbox.url)
	other.url = other.proxy.url()
	other.folder = mustFolder(w.T)
	other.installation = theSuite.run + "-" + randomHex(2)
	return &other
}

func (w *world) owner(source string) string { return w.installation + "/" + source }

func (w *world) configPath() string { return filepath.Join(w.folder, "allocsync.yaml") }

// configure writes the configuration file. Each source is one element of the
// list of sources; see lxd.
func (w *world) configure(sources ...string) {
	w.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "installation: %s\nnetbox:\n  url: %s\n  token: ${E2E_TOKEN}\n", w.installation, w.url)
	for _, key := range w.netboxKeys {
		b.WriteString("  " + key + "\n")
	}
	for _, key := range w.keys {
		b.WriteString(key + "\n")
	}
	b.WriteString("sources:\n" + strings.Join(sources, ""))
	rules := w.rules
	if rules == "" {
		rules = "  - set: {vrf: " + w.vrf + "}\n"
	}
	b.WriteString("rules:\n" + rules)
	require.NoError(w, os.WriteFile(w.configPath(), []byte(b.String()), 0o600))
}

// source is an element of the list of sources: an LXD at a unix socket, and
// further keys.
func source(name, socket string, keys ...string) string {
	text := fmt.Sprintf("  - name: %s\n    kind: lxd\n    options: {url: \"unix://%s\", timeout: 5s}\n", name, socket)
	for _, key := range keys {
		text += "    " + key + "\n"
	}
	return text
}

// rows are the rows of the test's VRF, prefixes and addresses, whoever owns
// them.
func (w *world) rows() rows {
	w.Helper()
	return w.netbox.mustRows(w.T, fmt.Sprintf("vrf_id=%d", w.vrfID))
}
