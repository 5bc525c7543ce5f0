package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// brokenMark follows the name of a file that was set aside.
	brokenMark = ".broken-"

	// maxBroken is how many of them are kept: the newest. A disk that damages
	// every file must not be filled with them.
	maxBroken = 5

	maxHolder = 300 // bytes of the lock's file that are read
)

// inspect says whether a file can be used as what it has to be. Errors:
// fs.ErrNotExist, errBroken, errLayout, or what the system says.
func inspect(name string, f form) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return err
	}
	if !stat.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", name)
	}
	if stat.Mode().Perm()&0o077 != 0 {
		_ = os.Chmod(name, fileMode) // what is in it concerns nobody else; somebody else's file stays as it is
	}
	return check(f, file, stat.Size(), time.Now().Add(checkTime))
}

// setAside renames a file and returns its new name. No file is overwritten.
func setAside(name string, now time.Time) (string, error) {
	for i := range 100 {
		kept := name + brokenMark + now.UTC().Format("20060102-150405")
		if i > 0 {
			kept += "-" + strconv.Itoa(i+1)
		}
		_, err := os.Lstat(kept)
		switch {
		case err == nil:
			continue
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
		if err := os.Rename(name, kept); err != nil {
			return "", err
		}
		return kept, sweep(name, kept)
	}
	return "", fmt.Errorf("rename %s: there are too many of that name", name)
}

// sweep removes all but the newest of the files that were set aside.
func sweep(name, newest string) error {
	entries, err := os.ReadDir(filepath.Dir(name))
	if err != nil {
		return err
	}
	type broken struct {
		name string
		at   time.Time
	}
	var list []broken
	for _, e := range entries {
		full := filepath.Join(filepath.Dir(name), e.Name())
		if full == newest || !strings.HasPrefix(e.Name(), filepath.Base(name)+brokenMark) || !e.Type().IsRegular() {
			continue
		}
		if stat, err := e.Info(); err == nil {
			list = append(list, broken{full, stat.ModTime()})
		}
	}
	slices.SortFunc(list, func(a, b broken) int {
		if c := b.at.Compare(a.at); c != 0 {
			return c
		}
		return strings.Compare(b.name, a.name)
	})
	for _, b := range list[min(len(list), maxBroken-1):] {
		if err := os.Remove(b.name); err != nil {
			return err
		}
	}
	return nil
}

// sign writes into the lock's file who has the lock. It is for people; that it
// fails, on a full disk, changes nothing.
func sign(file *os.File) {
	host, _ := os.Hostname()
	text := fmt.Sprintf("%d %s\n", os.Getpid(), host)
	if file.Truncate(0) == nil {
		_, _ = file.WriteAt([]byte(text), 0)
	}
}

// holder reads what sign wrote. That process may not have got to it yet.
func holder(file *os.File) (pid int, host string) {
	text, _ := io.ReadAll(io.NewSectionReader(file, 0, maxHolder))
	first, rest, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	pid, err := strconv.Atoi(first)
	if err != nil || pid <= 0 {
		return 0, ""
	}
	if strings.ContainsFunc(rest, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		rest = ""
	}
	return pid, rest
}
