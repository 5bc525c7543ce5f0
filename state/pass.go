package state

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"go.etcd.io/bbolt"
)

// Bounds of what is kept of a pass.
const (
	maxPasses  = 1000
	maxSources = 300 // of one pass
	maxMissing = 20  // lines of one source
	maxLine    = 500 // bytes of a line
	maxText    = 4000
)

// Pass is one pass as it is remembered.
type Pass struct {
	ID         uint64 // counts up from 1, without gaps
	Start, End time.Time
	Trigger    string       // "start", "schedule", "webhook", "event", "approval", "retry"
	Detail     string       // the trigger for people; at most 500 bytes are kept
	Asked      []string     // names of the sources asked; empty means all
	Sources    []PassSource // in the order of the configuration

	Requests    int // sent to NetBox
	RowsRead    int // by NetBox's answers
	RowsWritten int // created, updated and deleted

	Outcome string // "in step", "applied", "partly", "over limits", "failed"
	Error   string // why nothing or not all was done; at most 4,000 bytes are kept
	Digest  string // of the plan
}

// PassSource is the part of one source in a pass.
type PassSource struct {
	Name    string
	Owner   string   // INSTALLATION/NAME
	Answer  string   // "complete", "incomplete", "none"
	Missing []string // what was not read; at most 20 lines are kept

	Allocations int // that it listed
	Rows        int // that it owns
	InStep      int
	Created     int
	Updated     int
	Deleted     int
	Held        int
	Failed      int // that were to be written and were not
	Took        time.Duration

	// Reservations made at the source and given up there.
	Reserved, Released int `json:",omitempty"`
}

// AddPass appends a pass to the history and returns it as it is kept, with its
// ID. The oldest one beyond 1,000 goes.
func (s *Store) AddPass(p Pass) (Pass, error) {
	p = clipPass(p)
	err := s.update("pass", func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(passesBucket))
		c := b.Cursor()
		p.ID = 1
		if last, _ := c.Last(); last != nil {
			p.ID = passID(last) + 1
		}
		sealed, err := seal(passesBucket, string(passKey(p.ID)), p)
		if err != nil {
			return err
		}
		if err := b.Put(passKey(p.ID), sealed); err != nil {
			return err
		}
		for first, _ := c.First(); first != nil && passID(first)+maxPasses <= p.ID; first, _ = c.First() {
			if err := c.Delete(); err != nil {
				return err
			}
		}
		return nil
	})
	return p, err
}

// Passes returns the last passes, newest first. A limit of 0 or less means all.
func (s *Store) Passes(limit int) ([]Pass, error) {
	if limit <= 0 {
		limit = math.MaxInt
	}
	var list []Pass
	err := s.view("passes", func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(passesBucket)).Cursor()
		for k, v := c.Last(); k != nil && len(list) < limit; k, v = c.Prev() {
			var p Pass
			if err := unseal(passesBucket, string(k), v, &p); err != nil {
				return err
			}
			list = append(list, p)
		}
		return nil
	})
	return list, err
}

// passKey sorts as the IDs do.
func passKey(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

func passID(key []byte) uint64 {
	if len(key) != 8 {
		panic(fmt.Sprintf("key of a pass has %d bytes", len(key))) // the checksum held: a mistake of ours
	}
	return binary.BigEndian.Uint64(key)
}

// clipPass bounds what one pass takes.
func clipPass(p Pass) Pass {
	p.Trigger, p.Detail, p.Outcome, p.Digest = clip(p.Trigger, maxLine), clip(p.Detail, maxLine), clip(p.Outcome, maxLine), clip(p.Digest, maxLine)
	p.Error = clip(p.Error, maxText)
	p.Asked = clipLines(p.Asked, maxSources, maxLine)
	kept := make([]PassSource, min(len(p.Sources), maxSources))
	copy(kept, p.Sources)
	for i := range kept {
		k := &kept[i]
		k.Name, k.Owner, k.Answer = clip(k.Name, maxLine), clip(k.Owner, maxLine), clip(k.Answer, maxLine)
		k.Missing = clipLines(k.Missing, maxMissing, maxLine)
	}
	p.Sources = kept
	return p
}
