//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockFolder takes the folder for this process, until it ends however it ends.
// A file of its own carries the lock: the other one may have to be renamed.
func lockFolder(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		locked := &LockedError{}
		locked.PID, locked.Host = holder(file)
		_ = file.Close()
		return nil, locked
	case err != nil:
		_ = file.Close()
		return nil, fmt.Errorf("lock %s: %w; a folder on a local disk is needed", file.Name(), err)
	}
	sign(file)
	return file, nil
}

// unlock lets go of the folder. The file stays: removing it would let two
// processes lock two files of one name.
func unlock(file *os.File) error {
	_ = file.Truncate(0)
	return file.Close()
}

// full reports whether there is no room left.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}
