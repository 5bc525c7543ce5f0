package state

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"

	"go.etcd.io/bbolt"
)

// tally is what aboutBucket says of all that another bucket holds. A checksum
// of each value is not enough for the ledger: a disk that loses the write of a
// page leaves what stood there before, in which every checksum is right, and
// with it what was forgotten would be back.
type tally struct {
	Count int
	Sum   uint64 // of a digest of each key and value
}

func (t *tally) add(key, sealed []byte) {
	t.Count++
	t.Sum += digest(key, sealed)
}

func (t *tally) drop(key, sealed []byte) {
	t.Count--
	t.Sum -= digest(key, sealed)
}

func digest(key, sealed []byte) uint64 {
	sum := fnv.New64a()
	_, _ = sum.Write(key)
	_, _ = sum.Write(sealed)
	return sum.Sum64()
}

// fault says what is wrong with a bucket that has another tally.
func (t tally) fault(bucket string, found tally) error {
	if t == found {
		return nil
	}
	return broken("%s has %d values that are not the last %d that were written", bucket, found.Count, t.Count)
}

// count takes a value into account that the walk meets.
func (w *walk) count(bucket, key string, sealed []byte) error {
	switch {
	case bucket == aboutBucket && slices.Contains(w.form.tallied, key):
		var t tally
		if err := unseal(bucket, key, sealed, &t); err != nil {
			return broken("what it has in %s is not known: %v", key, err)
		}
		w.said[key] = t
	case slices.Contains(w.form.tallied, bucket):
		t := w.found[bucket]
		t.add([]byte(key), sealed)
		w.found[bucket] = t
	}
	return nil
}

// tallies compares what the walk met with what the file says.
func (w *walk) tallies() error {
	for _, b := range w.form.tallied {
		said, ok := w.said[b]
		if !ok {
			return broken("what it has in %s is not known", b)
		}
		if err := said.fault(b, w.found[b]); err != nil {
			return err
		}
	}
	return nil
}

// errSame ends a transaction that would change nothing: nothing is written.
var errSame = errors.New("nothing changes")

// tallied is a bucket with a tally, in one transaction.
type tallied struct {
	tx      *bbolt.Tx
	name    string
	values  *bbolt.Bucket
	before  tally
	now     tally
	changed bool
}

func openTallied(tx *bbolt.Tx, name string) (*tallied, error) {
	t := &tallied{tx: tx, name: name, values: tx.Bucket([]byte(name))}
	if err := unseal(aboutBucket, name, tx.Bucket([]byte(aboutBucket)).Get([]byte(name)), &t.before); err != nil {
		return nil, err
	}
	t.now = t.before
	return t, nil
}

// put seals and puts a value, if it is not the one that is there.
func (t *tallied) put(key string, v any) error {
	sealed, err := seal(t.name, key, v)
	if err != nil {
		return err
	}
	old := t.values.Get([]byte(key))
	if bytes.Equal(old, sealed) {
		return nil
	}
	if old != nil {
		t.now.drop([]byte(key), old)
	}
	t.now.add([]byte(key), sealed)
	t.changed = true
	return t.values.Put([]byte(key), sealed)
}

// delete deletes a value, if it is there.
func (t *tallied) delete(key string) error {
	old := t.values.Get([]byte(key))
	if old == nil {
		return nil
	}
	t.now.drop([]byte(key), old)
	t.changed = true
	return t.values.Delete([]byte(key))
}

// settle writes the new tally. More values than most are refused, if they have
// become more.
func (t *tallied) settle(most int) error {
	switch {
	case !t.changed:
		return errSame
	case t.now.Count > most && t.now.Count > t.before.Count:
		return fmt.Errorf("%d would be too many, at most %d can be kept", t.now.Count, most)
	}
	return put(t.tx, aboutBucket, t.name, t.now)
}

// each hands out all values in the order of their keys. After an error, which
// may come after the last of them, none may be used.
func (t *tallied) each(read func(key string, sealed []byte) error) error {
	var found tally
	err := t.values.ForEach(func(key, sealed []byte) error {
		found.add(key, sealed)
		return read(string(key), sealed)
	})
	if err != nil {
		return err
	}
	return t.before.fault(t.name, found)
}
