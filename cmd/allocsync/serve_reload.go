package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"time"

	"allocsync/config"
	"allocsync/sync/worker"
)

// recheck is how often the configuration file is looked at. Looking at its
// contents works for every way in which a file is replaced: by a rename, by a
// link that a container's mount changes, by an editor.
const recheck = 5 * time.Second

// watchConfig reads the configuration again on SIGHUP, and when the file has
// changed.
func (s *service) watchConfig(ctx context.Context, hangup <-chan os.Signal, notify notifier) {
	ticker := time.NewTicker(recheck)
	defer ticker.Stop()
	known := fingerprint(s.program.configPath)
	seen := known // at the last look
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			seen = fingerprint(s.program.configPath)
		case <-ticker.C:
			last := seen
			seen = fingerprint(s.program.configPath)
			// A file that is being written may be half of what it will be, and
			// right as it is: fewer rules are valid too. So it has to be the same
			// twice.
			if seen == known || seen != last {
				continue
			}
		}
		known = seen
		s.reload(ctx)
		notify.ready()
	}
}

// fingerprint tells contents of a file apart; "" where it cannot be read.
func fingerprint(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return string(sum[:])
}

// reload puts the configuration of the file in force, or says why it stays as
// it was.
func (s *service) reload(ctx context.Context) {
	set, schedules, err := s.load()
	if now := s.current().config.Installation; err == nil && set.config.Installation != now {
		err = fmt.Errorf("installation: was %s and is %s now, to which none of the rows belong; that takes a restart, if it is meant", now, set.config.Installation)
	}
	if err != nil {
		s.log.Error().Err(err).Msg("the new configuration is refused; the old one stays in force")
		s.metrics.Reloaded(false, time.Now())
		s.notice("configuration", "The configuration file was changed and is refused; the old configuration stays in force. "+err.Error())
		return
	}
	s.adopt(ctx, set, schedules)
	s.notice("configuration", "")
	s.log.Info().Msg("a new configuration is in force")
	restart := ""
	for _, key := range needRestart(s.initial, set.config.Serve) {
		s.log.Warn().Str("key", "serve."+key).Msg("a change of this key takes a restart")
		restart += "serve." + key + " was changed, which takes a restart. "
	}
	s.notice("restart", strings.TrimSpace(restart))
	s.loop.Want(worker.Trigger{Kind: worker.KindStart, Detail: "new configuration"})
}

// needRestart lists the keys that differ and are read at the start only.
func needRestart(a, b config.Serve) []string {
	var keys []string
	for _, k := range []struct {
		name    string
		differs bool
	}{
		{"listen", a.Listen != b.Listen}, {"metrics_listen", a.MetricsListen != b.MetricsListen},
		{"tls_cert_file", a.TLSCertFile != b.TLSCertFile}, {"tls_key_file", a.TLSKeyFile != b.TLSKeyFile},
		{"state_dir", a.StateDir != b.StateDir}, {"settle", a.Settle != b.Settle},
	} {
		if k.differs {
			keys = append(keys, k.name)
		}
	}
	return keys
}
