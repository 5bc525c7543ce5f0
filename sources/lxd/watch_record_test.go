package lxd_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// TestRecordEvents keeps what a real server says while instances, networks,
// projects and other things come and go:
//
//	go test ./sources/lxd -run TestRecordEvents -record
func TestRecordEvents(t *testing.T) {
	if !*record {
		t.Skip("runs with -record")
	}
	incus := mustIncus(t)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", incus.socket)
	}}
	c, _, err := websocket.Dial(t.Context(), "http://unix/1.0/events?type=lifecycle&all-projects=true",
		&websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	require.NoError(t, err)
	defer func() { _ = c.CloseNow() }()
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for {
			_, message, err := c.Read(context.Background())
			if err != nil {
				return
			}
			if strings.Contains(string(message), "src-watch") || strings.Contains(string(message), "image-") {
				lines <- string(message)
			}
		}
	}()
	time.Sleep(time.Second) // until it listens

	incus.newNetwork("src-watch", "10.79.20")
	incus.recordInstances()
	incus.recordOthers()
	time.Sleep(2 * time.Second) // what is said last
	require.NoError(t, c.CloseNow())
	var text strings.Builder
	fingerprint := regexp.MustCompile(`[0-9a-f]{64}`)
	for line := range lines {
		text.WriteString(fingerprint.ReplaceAllString(strings.TrimSpace(line), strings.Repeat("0", 64)) + "\n")
	}
	about := recordedServer(t)
	require.NoError(t, os.WriteFile("testdata/events/"+about.name(t)+".jsonl", []byte(text.String()), 0o644))
}

// steps runs client commands, one to a line.
func (i realIncus) steps(script string) {
	i.tb.Helper()
	for line := range strings.Lines(script) {
		if arguments := strings.Fields(line); len(arguments) > 0 {
			i.must(nil, arguments...)
		}
	}
}

func (i realIncus) recordInstances() {
	for _, name := range []string{"src-watch-a", "src-watch-b"} {
		i.tb.Cleanup(func() { _, _ = i.try("delete", "-f", name) })
	}
	i.steps(`
		launch -q bb src-watch-a --network src-watch
		config set src-watch-a user.note=x
		exec src-watch-a -- /bin/busybox true
		file push /etc/hostname src-watch-a/tmp/x
		file pull src-watch-a/tmp/x /dev/null
		file delete src-watch-a/tmp/x
		pause src-watch-a
		resume src-watch-a
		restart -f src-watch-a
		stop -f src-watch-a
		snapshot create src-watch-a s
		snapshot rename src-watch-a s s2
		snapshot restore src-watch-a s2
		snapshot delete src-watch-a s2
		rename src-watch-a src-watch-b
		config device override src-watch-b root size=64MiB
		delete -f src-watch-b`)
}

func (i realIncus) recordOthers() {
	i.tb.Cleanup(func() {
		for _, project := range []string{"src-watch-p", "src-watch-q"} {
			_, _ = i.try("project", "delete", project)
		}
		_, _ = i.try("network", "delete", "src-watch-2")
		_, _ = i.try("network", "acl", "delete", "src-watch")
	})
	image, err := i.try("image", "list", "-f", "csv", "-c", "f", "bb")
	require.NoError(i.tb, err)
	i.steps(`
		network forward create src-watch 10.79.99.20
		network forward set src-watch 10.79.99.20 user.note=x
		network forward delete src-watch 10.79.99.20
		network set src-watch user.note=x
		network create src-watch-1 ipv4.address=none ipv6.address=none
		network rename src-watch-1 src-watch-2
		network delete src-watch-2
		network acl create src-watch
		network acl delete src-watch
		project create src-watch-p -c features.networks=false
		project set src-watch-p user.note=x
		profile create src-watch --project src-watch-p
		profile set src-watch user.note=x --project src-watch-p
		profile rename src-watch src-watch-2 --project src-watch-p
		profile delete src-watch-2 --project src-watch-p
		project rename src-watch-p src-watch-q
		project delete src-watch-q
		image alias create src-watch ` + image + `
		image alias delete src-watch
		storage volume create default src-watch
		storage volume delete default src-watch`)
}
