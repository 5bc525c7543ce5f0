//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package state

import (
	"os"
	"path/filepath"
)

// lockFolder leaves the locking to bbolt, which locks its own file everywhere,
// if only after a second and without a name.
func lockFolder(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	return file, nil
}

func unlock(file *os.File) error { return file.Close() }

// full is not told apart here; the system's own words are in the error.
func full(error) bool { return false }
