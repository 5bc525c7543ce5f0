package state

import (
	"time"

	"go.etcd.io/bbolt"
)

// Bounds of what is kept of the plans that wait.
const (
	maxPending = 50
	maxOwners  = 300 // of one plan
	maxChanges = 500 // lines of one plan
	pendingKey = "all"
)

// Pending is a plan that waits for a person's approval.
type Pending struct {
	Digest  string
	Asked   []string // names of the sources asked; empty means all
	Since   time.Time
	Owners  []PendingOwner // who is over the limits
	Changes []string       // the plan in lines of text; at most 500 are kept
	More    int            // changes that Changes does not list
}

// PendingOwner is one owner whose changes go over its limits.
type PendingOwner struct {
	Owner                  string
	Rows, Updates, Deletes int
	Limit                  string // which one, in words
}

// SetPending replaces all that waits; nothing means that nothing does. At most
// 50 are kept, the first ones.
func (s *Store) SetPending(list []Pending) error {
	kept := make([]Pending, min(len(list), maxPending))
	copy(kept, list)
	for i := range kept {
		k := &kept[i]
		k.Digest = clip(k.Digest, maxLine)
		k.Asked = clipLines(k.Asked, maxSources, maxLine)
		k.Changes = clipLines(k.Changes, maxChanges, maxLine)
		owners := make([]PendingOwner, min(len(k.Owners), maxOwners))
		copy(owners, k.Owners)
		for j := range owners {
			owners[j].Owner, owners[j].Limit = clip(owners[j].Owner, maxLine), clip(owners[j].Limit, maxLine)
		}
		k.Owners = owners
	}
	return s.update("pending approvals", func(tx *bbolt.Tx) error {
		return put(tx, pendingBucket, pendingKey, kept)
	})
}

// Pending returns what waits, in the order in which it was set.
func (s *Store) Pending() ([]Pending, error) {
	var list []Pending
	err := s.view("pending approvals", func(tx *bbolt.Tx) error {
		sealed := tx.Bucket([]byte(pendingBucket)).Get([]byte(pendingKey))
		if sealed == nil {
			return nil
		}
		return unseal(pendingBucket, pendingKey, sealed, &list)
	})
	return list, err
}

// put seals a value and writes it.
func put(tx *bbolt.Tx, bucket, key string, v any) error {
	sealed, err := seal(bucket, key, v)
	if err != nil {
		return err
	}
	return tx.Bucket([]byte(bucket)).Put([]byte(key), sealed)
}
