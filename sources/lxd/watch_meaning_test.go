package lxd

import (
	"bufio"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// meanings is what each recorded event means: testdata/events.
func meanings() map[string]meaning {
	return map[string]meaning{
		"instance-created": start, "instance-started": start, "instance-updated": start,
		"instance-restarted": start, "instance-resumed": start, "instance-restored": start,
		"instance-deleted": change, "instance-renamed": change, "instance-stopped": change,
		"network-created": change, "network-updated": change, "network-deleted": change, "network-renamed": change,
		"network-forward-created": change, "network-forward-updated": change, "network-forward-deleted": change,
		"network-load-balancer-created": change, "network-load-balancer-updated": change, "network-load-balancer-deleted": change,
		"profile-created": change, "profile-updated": start, "profile-deleted": change, "profile-renamed": change,
		"project-created": change, "project-updated": change, "project-deleted": change, "project-renamed": change,
		"certificate-created": change, "certificate-updated": change, "certificate-deleted": change, "config-updated": change,
		"instance-paused": idle, "instance-exec": idle, "instance-console": idle, "instance-file-pushed": idle,
		"instance-file-retrieved": idle, "instance-file-deleted": idle,
		"instance-snapshot-created": idle, "instance-snapshot-renamed": idle, "instance-snapshot-deleted": idle,
		"instance-metadata-updated": idle, "instance-metadata-retrieved": idle, "instance-backup-created": idle,
		"instance-log-retrieved": idle,
		"image-created":          idle, "image-updated": idle, "image-deleted": idle, "image-retrieved": idle,
		"image-alias-created": idle, "image-alias-updated": idle, "image-alias-deleted": idle,
		"storage-volume-created": idle, "storage-volume-updated": idle, "storage-volume-deleted": idle, "storage-pool-updated": idle,
		"network-acl-created": idle, "network-acl-updated": idle, "network-acl-deleted": idle,
		"network-zone-created": idle, "network-zone-deleted": idle, "operation-cancelled": idle, "warning-deleted": idle,
	}
}

// TestRecordedEvents: what real servers said, line by line.
func TestRecordedEvents(t *testing.T) {
	files, err := filepath.Glob("testdata/events/*.jsonl")
	require.NoError(t, err)
	require.Len(t, files, 3)
	all := &Source{}
	web := &Source{options: Options{Projects: []string{"web"}}}
	heard := map[string]bool{}
	for _, name := range files {
		file, err := os.Open(name)
		require.NoError(t, err)
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			e, known := parse(lines.Bytes())
			require.True(t, known, lines.Text())
			want, known := meanings()[e.Metadata.Action]
			require.True(t, known, lines.Text())
			require.Equal(t, want, all.meaning(lines.Bytes()), lines.Text())
			require.Contains(t, []meaning{want, idle}, web.meaning(lines.Bytes()), lines.Text())
			heard[e.Metadata.Action] = true
		}
		require.NoError(t, lines.Err())
		require.NoError(t, file.Close())
	}
	for _, action := range []string{
		"instance-created", "instance-started", "instance-renamed", "instance-stopped", "instance-deleted",
		"network-created", "network-updated", "network-renamed", "network-deleted", "network-forward-created", "network-forward-deleted",
		"profile-updated", "project-created", "project-renamed", "image-alias-created",
	} {
		require.True(t, heard[action], "%s is recorded", action)
	}
}

func TestMeaning(t *testing.T) {
	for action, want := range meanings() {
		require.Equal(t, want, (&Source{}).meaning([]byte(lifecycle(action, "default"))), action)
	}
	source := &Source{options: Options{Projects: []string{"web", "lab"}}}
	for _, test := range []struct {
		message string
		want    meaning
		why     string
	}{
		{lifecycle("instance-created", "web"), start, "a project that is read"},
		{lifecycle("instance-created", "other"), idle, "a project that is not read"},
		{lifecycle("network-forward-created", "other"), idle, "a project that is not read"},
		{lifecycle("profile-updated", "other"), idle, "a project that is not read"},
		{lifecycle("network-updated", "default"), change, "projects may use its networks"},
		{lifecycle("profile-updated", "default"), start, "projects may use its profiles"},
		{lifecycle("instance-created", ""), start, "no project is named"},
		{lifecycle("project-deleted", "other"), change, "projects may come under the name of one that is read"},
		{lifecycle("certificate-updated", "other"), change, "what may be seen may be another"},
		{lifecycle("image-created", "web"), idle, "nothing to do with addresses"},
		{lifecycle("network-teleported", "web"), change, "an action of a later version"},
		{lifecycle("instance-teleported", "web"), start, "an action of a later version"},
		{lifecycle("gateway-created", ""), change, "an action of a later version"},
		{`{"type":"operation","project":"web","metadata":{"id":"x","class":"task"}}`, idle, "not asked for"},
		{`{"type":"logging","metadata":{"message":"x","level":"info","context":{}}}`, idle, "not asked for"},
		{`{"type":"lifecycle","project":"web","metadata":{"source":"/1.0/instances/x"}}`, start, "no action: it may be any"},
		{`{"type":"lifecycle","project":"web"}`, start, "no action: it may be any"},
		{`{"type":"lifecycle","project":7,"metadata":{"action":"image-created"}}`, start, "not understood"},
		{`{"metadata":{"action":"instance-started"}}`, start, "no type"},
		{``, start, "not understood"},
	} {
		require.Equal(t, test.want, source.meaning([]byte(test.message)), "%s: %s", test.message, test.why)
	}
}

func FuzzMeaning(f *testing.F) {
	f.Add([]byte(lifecycle("instance-started", "default")))
	f.Add([]byte(`{"type":"operation","metadata":{}}`))
	f.Add([]byte("["))
	source := &Source{options: Options{Projects: []string{"web"}}}
	f.Fuzz(func(t *testing.T, message []byte) {
		got := source.meaning(message)
		require.Contains(t, []meaning{idle, change, start}, got)
		if _, known := parse(message); !known {
			require.Equal(t, start, got)
		}
	})
}
