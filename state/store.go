// Package state keeps, in two files of one folder, what outlives the process.
//
// One is the history: passes, plans that wait for a person, what each source
// last said, and how full the networks were. None of it decides what is written
// anywhere: losing it costs history and nothing else.
//
// The other is the ledger of what was reserved at the sources, which decides
// what may be released there. Losing it means that nothing of it ever is, so
// that is what happens wherever there is a doubt.
//
// A file that cannot be used is set aside, not repaired. A nil *Store is one
// that keeps nothing.
package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const (
	// lockWait is how long another process may take to let go of a file.
	lockWait = time.Second

	// maxFile bounds each file, in bytes. The bounds of the contents keep the
	// history far below; this one holds where those are wrong, and for a ledger
	// of the longest texts.
	maxFile = 512 << 20

	// checkTime bounds how long a file is looked at before it is used.
	checkTime = 20 * time.Second
)

var (
	// errBroken is the cause where a file cannot be used as it is.
	errBroken = errors.New("the file is damaged")

	// errLayout is the cause where another version of the program wrote it.
	errLayout = errors.New("the file is of another version of allocsync")
)

// Store is an open state folder. It is safe for concurrent use. All methods of
// a nil Store succeed and keep nothing, but those of reservations, which fail.
type Store struct {
	db      *bbolt.DB // the history
	ledger  *bbolt.DB
	lock    *os.File
	notices []string

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
// Notices then say so. Errors: *LockedError at once where another process uses
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

// open opens the files, under the lock.
func (s *Store) open(dir string) (err error) {
	if s.db, err = s.openForm(dir, historyForm()); err != nil {
		return err
	}
	if s.ledger, err = s.openForm(dir, ledgerForm()); err != nil {
		return errors.Join(err, s.db.Close())
	}
	return nil
}

// openForm opens one file, and begins a new one where there is none to be used.
func (s *Store) openForm(dir string, f form) (*bbolt.DB, error) {
	name := filepath.Join(dir, f.name)
	if err := os.Remove(name + draftMark); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var db *bbolt.DB
	fault := inspect(name, f)
	if fault == nil {
		db, fault = openFile(name)
	}
	useless := errors.Is(fault, errBroken) || errors.Is(fault, errLayout)
	switch {
	case fault == nil:
		return db, nil
	case !useless && !errors.Is(fault, fs.ErrNotExist):
		return nil, fault
	}
	// Before the old one is renamed: where that fails, it is found again, and
	// said, at the next start.
	if err := draft(name, f); err != nil {
		return nil, fmt.Errorf("make state file: %w", err)
	}
	if useless {
		kept, err := setAside(name, time.Now())
		if err != nil {
			return nil, fmt.Errorf("set aside a file that cannot be used (%w): %w", fault, err)
		}
		s.notices = append(s.notices, fmt.Sprintf("state file %s cannot be used (%v): kept as %s, and a new one begun; %s", name, fault, kept, f.loss))
	}
	if err := place(name); err != nil {
		return nil, err
	}
	return openFile(name)
}

// draft makes a new file beside its place, so that a file with half a beginning
// is never found there.
func draft(name string, f form) error {
	name += draftMark
	db, err := openFile(name)
	if err == nil {
		err = guard(func() error { return db.Update(f.begin) })
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		_ = os.Remove(name) // on a full disk it would only stand in the way
	}
	return err
}

// place moves the new file to its place.
func place(name string) error {
	if err := os.Rename(name+draftMark, name); err != nil {
		return err
	}
	if folder, err := os.Open(filepath.Dir(name)); err == nil { // the name survives a power cut; some systems cannot
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

// Notices say what was found wrong with the files and where they were put, for
// the log: nothing, or one for each file.
func (s *Store) Notices() []string {
	if s == nil {
		return nil
	}
	return slices.Clone(s.notices)
}

// Notice is all Notices in one line.
func (s *Store) Notice() string { return strings.Join(s.Notices(), "; ") }

// Close waits for what is being read and written, and lets go of the folder.
func (s *Store) Close() error {
	if s == nil {
		return nil
	}
	err := errors.Join(s.db.Close(), s.ledger.Close(), unlock(s.lock))
	if err != nil {
		return fmt.Errorf("close state: %w", err)
	}
	return nil
}

// view reads the history as it was at one moment; what says what is read.
func (s *Store) view(what string, read func(tx *bbolt.Tx) error) error {
	if s == nil {
		return nil
	}
	return view(s.db, what, read)
}

// update changes the history: all of it or, after an error, nothing. It returns
// when the disk has it.
func (s *Store) update(what string, write func(tx *bbolt.Tx) error) error {
	if s == nil {
		return nil
	}
	return update(s.db, what, write)
}

func view(db *bbolt.DB, what string, read func(tx *bbolt.Tx) error) error {
	return named("read "+what, guard(func() error { return db.View(read) }))
}

func update(db *bbolt.DB, what string, write func(tx *bbolt.Tx) error) error {
	return named("keep "+what, guard(func() error { return db.Update(write) }))
}

func named(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case full(err):
		return fmt.Errorf("%s: %w; make room in the state folder", what, err)
	case errors.Is(err, bolterrors.ErrMaxSizeReached):
		return fmt.Errorf("%s: the state file would grow over %d MiB", what, maxFile>>20)
	case errors.Is(err, errBroken):
		return fmt.Errorf("%s: %w; start allocsync again: it sets such a file aside", what, err)
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
