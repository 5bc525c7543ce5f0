// Package state keeps, in one file of one folder, what outlives the process:
// the history of passes, plans that wait for a person, what each source last
// said, and how full the networks were.
//
// None of it decides what is written to NetBox: a Store that is lost costs
// history and nothing else. So a file that cannot be used is set aside, not
// repaired, and a nil *Store is one that keeps nothing.
package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const (
	fileName   = "allocsync.db"
	draftName  = "allocsync.db.new" // a file that is being made
	lockName   = "allocsync.lock"
	fileMode   = 0o600
	folderMode = 0o700

	// layout is the version of what is in the file. A file of another one is
	// set aside, by older and by newer programs.
	layout = 1

	// lockWait is how long another process may take to let go of the file.
	lockWait = time.Second

	// maxFile bounds the file, in bytes. The bounds of the contents keep it far
	// below; this one holds where those are wrong.
	maxFile = 512 << 20

	// checkTime bounds how long a file is looked at before it is used.
	checkTime = 20 * time.Second
)

// Names of the buckets, in the order in which they are met in the file: what
// the layout is has to be known before anything else is judged.
const (
	aboutBucket       = "about"
	allocationsBucket = "allocations"
	passesBucket      = "passes"
	pendingBucket     = "pending"
	saidBucket        = "said"
	samplesBucket     = "samples"

	layoutKey = "layout" // in aboutBucket; its value is not sealed
)

func buckets() []string {
	return []string{aboutBucket, allocationsBucket, passesBucket, pendingBucket, saidBucket, samplesBucket}
}

var (
	// errBroken is the cause where a file cannot be used as it is.
	errBroken = errors.New("the file is damaged")

	// errLayout is the cause where another version of the program wrote it.
	errLayout = errors.New("the file is of another version of allocsync")
)

// Store is an open state folder. It is safe for concurrent use. All methods of
// a nil Store succeed and keep nothing.
type Store struct {
	db     *bbolt.DB
	lock   *os.File
	notice string

	sampling sync.Mutex
}

// LockedError is the error of Open where another process has the folder.
type LockedError struct {
	Dir  string
	PID  int    // 0 where not known
	Host string // as that process saw its own name; "" where not known
}

func (e *LockedError) Error() string {
	who := "another process"
	if e.PID > 0 {
		who = "another allocsync, process " + strconv.Itoa(e.PID)
		if e.Host != "" {
			who += " on " + e.Host
		}
	}
	return fmt.Sprintf("open state folder %s: %s is using it; stop that one, or give this one a folder of its own with --state-dir", e.Dir, who)
}

// Open opens the state folder and makes it where there is none.
//
// A file that is damaged or of another layout is renamed, and a new one begun;
// Notice then says so. Errors: *LockedError at once where another process uses
// the folder; otherwise what the system says of the folder, with what to do. A
// program can go on with a nil Store then.
func Open(dir string) (*Store, error) {
	if dir == "" {
		return nil, errors.New("open state folder: no folder is named")
	}
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return nil, folderError(dir, err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, folderError(dir, err)
	}
	s := &Store{lock: lock}
	if err := s.open(dir); err != nil {
		_ = unlock(lock)
		return nil, folderError(dir, err)
	}
	return s, nil
}

// open opens the file, under the lock.
func (s *Store) open(dir string) error {
	name := filepath.Join(dir, fileName)
	if err := os.Remove(filepath.Join(dir, draftName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := inspect(name)
	if err == nil {
		s.db, err = openFile(name)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, errBroken), errors.Is(err, errLayout):
		kept, aside := setAside(name, time.Now())
		if aside != nil {
			return fmt.Errorf("set aside a file that cannot be used (%w): %w", err, aside)
		}
		s.notice = fmt.Sprintf("state file %s cannot be used (%v): kept as %s, and a new one begun; the history of passes and plans that waited for approval begin anew, nothing in NetBox is lost", name, err, kept)
	default:
		return err
	}
	if err := draft(dir); err != nil {
		return err
	}
	s.db, err = openFile(name)
	return err
}

// draft makes a new file beside its place and moves it there, so that a file
// with half a beginning is never found.
func draft(dir string) error {
	name := filepath.Join(dir, draftName)
	db, err := openFile(name)
	if err != nil {
		return fmt.Errorf("make state file: %w", err)
	}
	err = guard(func() error {
		return db.Update(func(tx *bbolt.Tx) error {
			for _, b := range buckets() {
				if _, err := tx.CreateBucketIfNotExists([]byte(b)); err != nil {
					return err
				}
			}
			return tx.Bucket([]byte(aboutBucket)).Put([]byte(layoutKey), []byte(strconv.Itoa(layout)))
		})
	})
	if err = errors.Join(err, db.Close()); err != nil {
		_ = os.Remove(name) // on a full disk it would only stand in the way
		return fmt.Errorf("make state file: %w", err)
	}
	if err := os.Rename(name, filepath.Join(dir, fileName)); err != nil {
		return err
	}
	if folder, err := os.Open(dir); err == nil { // the name survives a power cut; some systems cannot
		_ = folder.Sync()
		_ = folder.Close()
	}
	return nil
}

// openFile hands a file that was found sound to bbolt. What bbolt makes of a
// file that is not would be a fault in mapped memory, hence the guard.
func openFile(name string) (db *bbolt.DB, err error) {
	var file *os.File // where bbolt panics it leaves its file open, and locked
	err = guard(func() error {
		db, err = bbolt.Open(name, fileMode, &bbolt.Options{
			Timeout: lockWait, MaxSize: maxFile, NoStatistics: true,
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				file, err = os.OpenFile(name, flag, mode)
				return file, err
			},
		})
		return err
	})
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, errBroken):
		_ = file.Close()
	case errors.Is(err, bolterrors.ErrTimeout):
		err = &LockedError{Dir: filepath.Dir(name)}
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		err = fmt.Errorf("%w: %w", errBroken, err)
	}
	return nil, err
}

// folderError says which folder it is about and what its owner can do.
func folderError(dir string, err error) error {
	var locked *LockedError
	switch {
	case errors.As(err, &locked):
		locked.Dir = dir
		return locked
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("open state folder %s: %w; let user %d, as whom allocsync runs, write there, or name another folder with --state-dir", dir, err, os.Getuid())
	case full(err):
		return fmt.Errorf("open state folder %s: %w; make room there, or name another folder with --state-dir", dir, err)
	}
	return fmt.Errorf("open state folder %s: %w", dir, err)
}

// Notice says what was found wrong with the file and where it was put, for the
// log. It is "" where nothing was.
func (s *Store) Notice() string {
	if s == nil {
		return ""
	}
	return s.notice
}

// Close waits for what is being read and written, and lets go of the folder.
func (s *Store) Close() error {
	if s == nil {
		return nil
	}
	err := errors.Join(s.db.Close(), unlock(s.lock))
	if err != nil {
		return fmt.Errorf("close state: %w", err)
	}
	return nil
}

// view reads the file as it was at one moment; what says what is read.
func (s *Store) view(what string, read func(tx *bbolt.Tx) error) error {
	if s == nil {
		return nil
	}
	return named("read "+what, guard(func() error { return s.db.View(read) }))
}

// update changes the file: all of it or, after an error, nothing. It returns
// when the disk has it.
func (s *Store) update(what string, write func(tx *bbolt.Tx) error) error {
	if s == nil {
		return nil
	}
	return named("keep "+what, guard(func() error { return s.db.Update(write) }))
}

func named(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case full(err):
		return fmt.Errorf("%s: %w; make room in the state folder", what, err)
	case errors.Is(err, bolterrors.ErrMaxSizeReached):
		return fmt.Errorf("%s: the state file would grow over %d MiB", what, maxFile>>20)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// guard turns a panic into an error, and a fault in mapped memory too: a file
// that is cut off while it is open must not end the program.
func guard(work func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errBroken, p)
		}
	}()
	return work()
}
