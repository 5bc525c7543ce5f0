package state

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// Bounds of what is kept of the sources' answers.
const (
	maxSaid        = 200 // sources
	maxAllocations = 300_000
)

// Said is what a source last said.
type Said struct {
	Source      string
	At          time.Time
	Complete    bool // all parts of the source were read
	Allocations []Allocation
	More        int // allocations that were left out: at most 300,000 are kept
}

// Allocation is one allocation as its source wrote it, in text.
type Allocation struct {
	UsedBy  string `json:"u"`
	Kind    string `json:"k"` // "prefix" or "address"
	Address string `json:"a"` // with its mask
	Type    string `json:"t,omitempty"`
	Network string `json:"n,omitempty"`
	Project string `json:"p,omitempty"`
	Name    string `json:"m,omitempty"`
	MAC     string `json:"h,omitempty"`
	Inside  string `json:"i,omitempty"` // of a floating address: the fixed one behind it
	NextHop string `json:"x,omitempty"` // of a route
	Dynamic bool   `json:"d,omitempty"` // a lease
	NAT     bool   `json:"g,omitempty"` // behind NAT
}

// heading is what is kept of an answer apart from its allocations, which stay
// as they are while a source says the same.
type heading struct {
	At       time.Time
	Complete bool
	More     int
	Digest   string // of the allocations' JSON
}

// SetSaid replaces what is known of one source. Where it says the same as the
// last time, only the time is written.
func (s *Store) SetSaid(said Said) error {
	if s == nil {
		return nil
	}
	what := fmt.Sprintf("what source %q said", said.Source)
	if said.Source == "" || len(said.Source) > maxLine {
		return named("keep "+what, fmt.Errorf("a name of 1 to %d bytes is needed", maxLine))
	}
	if left := len(said.Allocations) - maxAllocations; left > 0 {
		said.Allocations, said.More = said.Allocations[:maxAllocations], said.More+left
	}
	// Outside of the transaction: this is most of the work.
	text, err := json.Marshal(said.Allocations)
	if err != nil {
		return named("keep "+what, err)
	}
	sum := sha256.Sum256(text)
	head := heading{At: said.At, Complete: said.Complete, More: said.More, Digest: hex.EncodeToString(sum[:])}
	return s.update(what, func(tx *bbolt.Tx) error {
		heads := tx.Bucket([]byte(saidBucket))
		var before heading
		switch sealed := heads.Get([]byte(said.Source)); {
		case sealed != nil:
			if err := unseal(saidBucket, said.Source, sealed, &before); err != nil {
				return err
			}
		case len(keys(heads)) >= maxSaid:
			return fmt.Errorf("there are %d sources already", maxSaid)
		}
		if before.Digest != head.Digest {
			sealed, err := sealText(allocationsBucket, said.Source, text)
			if err != nil {
				return err
			}
			if err := tx.Bucket([]byte(allocationsBucket)).Put([]byte(said.Source), sealed); err != nil {
				return err
			}
		}
		return put(tx, saidBucket, said.Source, head)
	})
}

// Said returns what each source last said, by name.
func (s *Store) Said() ([]Said, error) {
	var list []Said
	err := s.view("what the sources said", func(tx *bbolt.Tx) error {
		allocations := tx.Bucket([]byte(allocationsBucket))
		return tx.Bucket([]byte(saidBucket)).ForEach(func(k, v []byte) error {
			var head heading
			if err := unseal(saidBucket, string(k), v, &head); err != nil {
				return err
			}
			said := Said{Source: string(k), At: head.At, Complete: head.Complete, More: head.More}
			if err := unseal(allocationsBucket, string(k), allocations.Get(k), &said.Allocations); err != nil {
				return err
			}
			list = append(list, said)
			return nil
		})
	})
	return list, err
}

// KeepSources forgets what all other sources said: those that a configuration
// no longer has.
func (s *Store) KeepSources(names []string) error {
	if s == nil {
		return nil
	}
	var gone []string
	err := s.view("what the sources said", func(tx *bbolt.Tx) error {
		for _, name := range keys(tx.Bucket([]byte(saidBucket))) {
			if !slices.Contains(names, name) {
				gone = append(gone, name)
			}
		}
		return nil
	})
	if err != nil || len(gone) == 0 {
		return err
	}
	return s.update("what the sources said", func(tx *bbolt.Tx) error {
		for _, name := range gone {
			for _, bucket := range []string{saidBucket, allocationsBucket} {
				if err := tx.Bucket([]byte(bucket)).Delete([]byte(name)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// keys lists the keys of a bucket, sorted.
func keys(b *bbolt.Bucket) []string {
	var list []string
	c := b.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		list = append(list, string(k))
	}
	return list
}
