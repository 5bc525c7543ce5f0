package state

import (
	"fmt"
	"slices"
	"strconv"

	"go.etcd.io/bbolt"
)

const (
	fileName   = "allocsync.db"    // the history
	ledgerName = "reservations.db" // what was reserved at the sources
	lockName   = "allocsync.lock"
	draftMark  = ".new" // follows the name of a file that is being made
	fileMode   = 0o600
	folderMode = 0o700

	// Versions of what is in the files. A file of another one is set aside, by
	// older and by newer programs.
	historyLayout = 1
	ledgerLayout  = 1
)

// Names of the buckets. The first one in the file has to be aboutBucket: what
// the layout is has to be known before anything else is judged.
const (
	aboutBucket       = "about"
	allocationsBucket = "allocations"
	passesBucket      = "passes"
	pendingBucket     = "pending"
	saidBucket        = "said"
	samplesBucket     = "samples"

	notesBucket        = "notes" // these two in the ledger
	reservationsBucket = "reservations"

	layoutKey = "layout" // in aboutBucket; its value is not sealed
)

// form is what one of the two files has to look like.
type form struct {
	name    string // in the folder
	layout  int
	buckets []string
	tallied []string // buckets of which aboutBucket has a tally, under their names

	// strict says that the roots of the last two writes have to be there. Where
	// they need not, and the last one is damaged, the file is what it was one
	// write before.
	strict bool

	loss string // what it means for people that it was set aside
}

func historyForm() form {
	return form{
		name: fileName, layout: historyLayout,
		buckets: []string{aboutBucket, allocationsBucket, passesBucket, pendingBucket, saidBucket, samplesBucket},
		loss:    "the history of passes and plans that waited for approval begin anew, nothing in NetBox is lost",
	}
}

func ledgerForm() form {
	return form{
		name: ledgerName, layout: ledgerLayout,
		buckets: []string{aboutBucket, notesBucket, reservationsBucket},
		tallied: []string{notesBucket, reservationsBucket},
		strict:  true,
		loss: "what was reserved at the sources until now counts as somebody else's: it still meets what NetBox asks for, " +
			"but is never changed or released; release at the source, by hand, what NetBox no longer asks for",
	}
}

// begin makes the buckets of a new file.
func (f form) begin(tx *bbolt.Tx) error {
	for _, b := range f.buckets {
		if _, err := tx.CreateBucketIfNotExists([]byte(b)); err != nil {
			return err
		}
	}
	for _, b := range f.tallied {
		if err := put(tx, aboutBucket, b, tally{}); err != nil {
			return err
		}
	}
	return tx.Bucket([]byte(aboutBucket)).Put([]byte(layoutKey), []byte(strconv.Itoa(f.layout)))
}

// judgeLayout says what is wrong with the layout that a file names.
func (f form) judgeLayout(found string) error {
	if found != strconv.Itoa(f.layout) {
		return fmt.Errorf("%w: layout %q, this one writes %d", errLayout, found, f.layout)
	}
	return nil
}

func (f form) has(bucket string) bool { return slices.Contains(f.buckets, bucket) }
