package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"time"
)

// bbolt maps its file into memory and follows what it finds there. Where that
// is damaged it panics, reads memory that is not its own or goes round in
// circles, in its own check as well; none of it can be stopped from outside.
// So the file is walked here first, with plain reads: every page once, every
// length against what holds it, every value against its checksum. The format
// is version 2 of bbolt's file, in the byte order of the machine.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	minPage = 1 << 10
	maxPage = 1 << 16

	pageHeader = 16 // id uint64, flags uint16, count uint16, overflow uint32
	metaLength = 64 // of it 56 bytes under the checksum that is the rest
	element    = 16 // in a leaf: flags, pos, ksize, vsize uint32; in a branch: pos, ksize uint32, page uint64
	bucketHead = 16 // root uint64, sequence uint64; an inline bucket's page follows

	branchPage = 0x01
	leafPage   = 0x02
	freePage   = 0x10
	isBucket   = 0x01 // flag of a leaf's element

	manyFree = 0xFFFF // a count of free pages that stands in the page's first eight bytes
	maxDepth = 32     // of branches below each other
)

// walk is the way through one file.
type walk struct {
	file  io.ReaderAt
	size  int64 // of the file, in bytes
	page  int64 // size of a page, in bytes
	high  uint64
	seen  []bool // pages met, up to high
	until time.Time

	form   form
	layout string // what the file says of itself; "" as long as not met
	met    int    // buckets

	said, found map[string]tally // by bucket: as aboutBucket says, and as met
}

func newWalk(f form, file io.ReaderAt, size int64, until time.Time) *walk {
	return &walk{form: f, file: file, size: size, until: until, said: map[string]tally{}, found: map[string]tally{}}
}

// meta is a root of the file; there are two, written in turn.
type meta struct {
	page       int64
	root, free uint64 // pages
	high       uint64 // the first page that is not in use
	txid       uint64
}

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errBroken, fmt.Sprintf(format, args...))
}

// check says whether a file can be handed to bbolt. It takes time and memory
// in proportion to the file, whatever is in it.
func check(f form, file io.ReaderAt, size int64, until time.Time) error {
	if size == 0 {
		return broken("it is empty")
	}
	if size > 2*maxFile {
		return broken("%d MiB are more than it can have", size>>20)
	}
	w := newWalk(f, file, size, until)
	m, err := w.newest()
	if err != nil {
		return err
	}
	w.page, w.high = m.page, m.high
	if m.high < 4 || m.high > uint64(size/m.page) {
		return broken("it is cut off: %d pages of %d bytes in %d bytes", m.high, m.page, size)
	}
	w.seen = make([]bool, m.high)
	w.seen[0], w.seen[1] = true, true
	// The tree before the free pages: what layout it is counts more than
	// whether the rest is sound.
	if err := w.tree(m.root, span{}, "", 0); err != nil {
		return err
	}
	if w.layout == "" || w.met < len(f.buckets) {
		return broken("it is not a whole state file of allocsync")
	}
	if err := w.tallies(); err != nil {
		return err
	}
	if err := w.freed(m.free); err != nil {
		return err
	}
	if i := slices.Index(w.seen, false); i >= 0 {
		return broken("page %d is neither in use nor free", i)
	}
	return nil
}

// newest finds the root of the last write that was finished.
func (w *walk) newest() (meta, error) {
	list := w.roots()
	switch {
	case len(list) == 0:
		return meta{}, broken("it has no root, or one of another program")
	case w.form.strict && (len(list) < 2 || list[0].txid != list[1].txid+1):
		return meta{}, broken("it has not the roots of its last two writes")
	}
	return list[0], nil
}

// roots finds those of the two roots that are sound, the newer one first.
func (w *walk) roots() []meta {
	first, ok := w.meta(0)
	if !ok {
		for at := int64(minPage); at <= maxPage; at *= 2 { // the first one tells where the second is
			if second, ok := w.meta(at); ok && second.page == at {
				return []meta{second}
			}
		}
		return nil
	}
	second, ok := w.meta(first.page)
	switch {
	case !ok || second.page != first.page:
		return []meta{first}
	case second.txid > first.txid:
		return []meta{second, first}
	}
	return []meta{first, second}
}

// meta reads the root in the page that begins at a place.
func (w *walk) meta(at int64) (meta, bool) {
	b := make([]byte, metaLength)
	if _, err := w.file.ReadAt(b, at+pageHeader); err != nil {
		return meta{}, false
	}
	e := binary.NativeEndian
	sum := fnv.New64a()
	_, _ = sum.Write(b[:56])
	m := meta{page: int64(e.Uint32(b[8:])), root: e.Uint64(b[16:]), free: e.Uint64(b[32:]), high: e.Uint64(b[40:]), txid: e.Uint64(b[48:])}
	sizeFits := m.page >= minPage && m.page <= maxPage && m.page&(m.page-1) == 0
	return m, e.Uint32(b) == boltMagic && e.Uint32(b[4:]) == boltVersion && e.Uint64(b[56:]) == sum.Sum64() && sizeFits
}

// sheet is a page with what overflows from it.
type sheet struct {
	flags uint16
	count int
	data  []byte // all of it, with the header
}

// read reads a page and marks it as met.
func (w *walk) read(id uint64) (sheet, error) {
	if time.Now().After(w.until) {
		return sheet{}, errors.New("checking the state file takes too long") // a slow disk is not damage
	}
	if id < 2 || id >= w.high {
		return sheet{}, broken("page %d is not among its %d", id, w.high)
	}
	head := make([]byte, pageHeader)
	if err := w.bytes(head, id); err != nil {
		return sheet{}, err
	}
	e := binary.NativeEndian
	s := sheet{flags: e.Uint16(head[8:]), count: int(e.Uint16(head[10:]))}
	pages := uint64(e.Uint32(head[12:])) + 1
	if e.Uint64(head) != id || pages > w.high-id {
		return sheet{}, broken("page %d does not know itself", id)
	}
	for i := id; i < id+pages; i++ {
		if err := w.meet(i); err != nil {
			return sheet{}, err
		}
	}
	s.data = make([]byte, int64(pages)*w.page)
	return s, w.bytes(s.data, id)
}

func (w *walk) bytes(b []byte, id uint64) error {
	_, err := w.file.ReadAt(b, int64(id)*w.page)
	if errors.Is(err, io.EOF) {
		return broken("it is cut off at page %d", id)
	}
	return err
}

func (w *walk) meet(id uint64) error {
	if w.seen[id] {
		return broken("page %d is met twice", id)
	}
	w.seen[id] = true
	return nil
}

// span is where the keys of a page lie: from, and before; nil is open.
type span struct{ from, before []byte }

// piece cuts n bytes out of b.
func piece(b []byte, from, n int64) ([]byte, error) {
	if from < 0 || n < 0 || from > int64(len(b)) || n > int64(len(b))-from {
		return nil, broken("a length leads out of its page")
	}
	return b[from : from+n], nil
}

// tree walks a page and what is below it. The bucket is "" at the top.
func (w *walk) tree(id uint64, within span, bucket string, depth int) error {
	if depth > maxDepth {
		return broken("it is too deep")
	}
	s, err := w.read(id)
	if err != nil {
		return err
	}
	switch {
	case s.flags == leafPage:
		return w.leaf(s, within, bucket)
	case s.flags != branchPage || s.count == 0:
		return broken("page %d is of no use in a tree", id)
	}
	keys, err := s.keys(within)
	if err != nil {
		return err
	}
	for i, key := range keys {
		below := span{from: key, before: within.before}
		if i+1 < len(keys) {
			below.before = keys[i+1]
		}
		child := binary.NativeEndian.Uint64(s.data[pageHeader+i*element+8:])
		if err := w.tree(child, below, bucket, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// keys reads the keys of a page, which ascend within their span. The elements
// are followed by their keys and values without a gap, as bbolt writes them: a
// count that is too small shows in that.
func (s sheet) keys(within span) ([][]byte, error) {
	list := make([][]byte, 0, s.count)
	behind := pageHeader + int64(s.count)*element
	for i := range s.count {
		at := pageHeader + int64(i)*element
		head, err := piece(s.data, at, element)
		if err != nil {
			return nil, err
		}
		e, value := binary.NativeEndian, int64(0)
		if s.flags == leafPage {
			value, head = int64(e.Uint32(head[12:])), head[4:]
		}
		length := int64(e.Uint32(head[4:]))
		if at+int64(e.Uint32(head)) != behind {
			return nil, broken("a key is not where it has to be")
		}
		key, err := piece(s.data, behind, length)
		switch {
		case err != nil:
			return nil, err
		case i > 0 && bytes.Compare(list[i-1], key) >= 0,
			within.from != nil && bytes.Compare(key, within.from) < 0,
			within.before != nil && bytes.Compare(key, within.before) >= 0:
			return nil, broken("its keys are out of order")
		}
		behind += length + value
		list = append(list, key)
	}
	return list, nil
}

// leaf walks the values of a page: buckets at the top, sealed values below.
func (w *walk) leaf(s sheet, within span, bucket string) error {
	keys, err := s.keys(within)
	if err != nil {
		return err
	}
	for i, key := range keys {
		at := pageHeader + int64(i)*element
		head := s.data[at:]
		e := binary.NativeEndian
		value, err := piece(s.data, at+int64(e.Uint32(head[4:]))+int64(len(key)), int64(e.Uint32(head[12:])))
		if err != nil {
			return err
		}
		switch flags := e.Uint32(head); {
		case bucket == "" && flags == isBucket && w.form.has(string(key)):
			err = w.bucket(string(key), value)
		case bucket != "" && flags == 0:
			err = w.value(bucket, string(key), value)
		default:
			err = broken("%q is not of allocsync", key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucket walks a bucket, which is a tree of its own or lies in its value.
func (w *walk) bucket(name string, value []byte) error {
	w.met++
	if len(value) < bucketHead {
		return broken("bucket %s is cut off", name)
	}
	e := binary.NativeEndian
	if root := e.Uint64(value); root != 0 {
		return w.tree(root, span{}, name, 0)
	}
	inline := value[bucketHead:]
	if len(inline) < pageHeader || e.Uint16(inline[8:]) != leafPage || e.Uint32(inline[12:]) != 0 {
		return broken("bucket %s is cut off", name)
	}
	return w.leaf(sheet{flags: leafPage, count: int(e.Uint16(inline[10:])), data: inline}, span{}, name)
}

func (w *walk) value(bucket, key string, value []byte) error {
	if bucket == aboutBucket && key == layoutKey {
		w.layout = clip(string(value), maxLine)
		return w.form.judgeLayout(w.layout)
	}
	if !sound(bucket, key, value) {
		return broken("the checksum of a value in %s is wrong", bucket)
	}
	return w.count(bucket, key, value)
}

// freed walks the list of free pages, all of which are free only.
func (w *walk) freed(id uint64) error {
	s, err := w.read(id)
	if err != nil {
		return err
	}
	if s.flags != freePage {
		return broken("page %d does not list free pages", id)
	}
	e := binary.NativeEndian
	list, count := s.data[pageHeader:], uint64(s.count)
	if count == manyFree {
		count, list = e.Uint64(list), list[8:]
	}
	if count > uint64(len(list)/8) {
		return broken("the list of free pages leads out of its page")
	}
	for i := range count {
		free := e.Uint64(list[i*8:])
		if free < 2 || free >= w.high {
			return broken("free page %d is not among its %d", free, w.high)
		}
		if err := w.meet(free); err != nil {
			return err
		}
	}
	return nil
}
