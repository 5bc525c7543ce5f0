package webhook

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// certificate is the pair of files that connections are answered with. It is
// read anew when one of the files changes.
type certificate struct {
	certFile, keyFile string
	recheck           time.Duration
	now               func() time.Time
	log               zerolog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	state   [2]fileState // of the files when they were read last, for good or ill
	checked time.Time
}

// fileState changes when a file does. A link that points elsewhere is one that
// changed, since what it points to counts.
type fileState struct {
	at   time.Time
	size int64
}

// openCertificate reads both files; here they have to fit together.
func openCertificate(o Options, k knobs, now func() time.Time) (*certificate, error) {
	c := &certificate{certFile: o.TLSCertFile, keyFile: o.TLSKeyFile, recheck: k.recheck, now: now, log: o.Log}
	c.state, c.checked = c.look(), now()
	if err := c.read(); err != nil {
		return nil, fmt.Errorf("read %s and its key: %w", keyCertFile, err)
	}
	return c, nil
}

func (c *certificate) look() (state [2]fileState) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if stat, err := os.Stat(name); err == nil {
			state[i] = fileState{at: stat.ModTime(), size: stat.Size()}
		}
	}
	return state
}

func (c *certificate) read() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.pair = &pair
	return nil
}

// of returns the pair for a handshake. A new pair that cannot be used is told
// of once, and the old one stays: one file is always written before the other.
func (c *certificate) of(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if since := now.Sub(c.checked); since >= 0 && since < c.recheck {
		return c.pair, nil
	}
	c.checked = now
	state := c.look()
	if state == c.state {
		return c.pair, nil
	}
	c.state = state
	if err := c.read(); err != nil {
		c.log.Warn().Err(err).Msg("the new TLS certificate cannot be used; the old one stays")
	} else {
		c.log.Info().Time("valid_until", c.pair.Leaf.NotAfter).Msg("TLS certificate read anew")
	}
	return c.pair, nil
}
