package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ledgerText is all that a ledger says.
func ledgerText(s *Store) (string, error) {
	list, err := s.Reservations()
	notes, errNotes := s.ReservationNotes()
	if err = errors.Join(err, errNotes); err != nil {
		return "", err
	}
	out, err := json.Marshal([]any{list, notes})
	return string(out), err
}

// filledLedger makes a ledger by a number of changes, and returns its file and
// what it says after each.
func filledLedger(tb testing.TB, rounds, some int) (files [][]byte, texts []string) {
	tb.Helper()
	s := newQuick(tb)
	s.ledger.NoSync = true
	for round := range rounds {
		var put, forget []Reservation
		for i := range some {
			put, forget = append(put, inLedger((round*some/3+i)%256, round)), append(forget, inLedger((round*some/2-i+256)%256, 0))
		}
		require.NoError(tb, s.ChangeReservations(put, forget))
		if round%2 == 0 {
			require.NoError(tb, s.SetReservationNotes(ReservationNote{Owner: "dc1/lab", Row: 1 + round%9, Text: strings.Repeat("t", round*7)}, ReservationNote{Row: 1 + round%5}))
		}
		text, err := ledgerText(s)
		require.NoError(tb, err)
		file, err := os.ReadFile(s.ledger.Path())
		require.NoError(tb, err)
		files, texts = append(files, file), append(texts, text)
	}
	return files, texts
}

func checkedLedger(file []byte) error {
	return check(ledgerForm(), bytes.NewReader(file), int64(len(file)), time.Now().Add(time.Minute))
}

// mustOpenLedger opens a file as a program would find it.
func mustOpenLedger(tb testing.TB, file []byte) (notice, text string) {
	tb.Helper()
	dir := tb.TempDir()
	require.NoError(tb, os.WriteFile(filepath.Join(dir, ledgerName), file, 0o600))
	s, err := Open(dir)
	require.NoError(tb, err)
	text, err = ledgerText(s)
	require.NoError(tb, err)
	require.NoError(tb, s.ChangeReservations([]Reservation{inLedger(1, 1)}, nil), "it can be written to")
	require.NoError(tb, s.Close())
	after, err := os.ReadFile(filepath.Join(dir, ledgerName))
	require.NoError(tb, err)
	require.NoError(tb, checkedLedger(after))
	if s.Notice() != "" {
		require.Equal(tb, "[null,null]", text, "nothing of it is believed")
		kept, err := filepath.Glob(filepath.Join(dir, ledgerName+brokenMark+"*"))
		require.NoError(tb, err)
		require.Len(tb, kept, 1)
		aside, err := os.ReadFile(kept[0])
		require.NoError(tb, err)
		require.True(tb, bytes.Equal(file, aside), "kept as it was")
	}
	return s.Notice(), text
}

// mustSay returns what a ledger says that the check let pass.
func mustSay(tb testing.TB, file []byte) string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), ledgerName)
	require.NoError(tb, os.WriteFile(name, file, 0o600))
	db, err := openFile(name)
	require.NoError(tb, err)
	text, err := ledgerText(&Store{ledger: db})
	require.NoError(tb, err)
	require.NoError(tb, db.Close())
	return text
}

func TestASoundLedger(t *testing.T) {
	for _, some := range []int{1, 10, 80} {
		files, texts := filledLedger(t, 20, some)
		for i, file := range files {
			require.NoError(t, checkedLedger(file))
			if i%7 == 6 {
				notice, text := mustOpenLedger(t, file)
				require.Empty(t, notice)
				require.Equal(t, texts[i], text)
			}
		}
	}
}

// Damage of any kind: it is noticed, and then nothing of the ledger is believed,
// or the ledger says what it said at last. Nothing in between, and not what it
// said one write before.
func TestADamagedLedger(t *testing.T) {
	files, texts := filledLedger(t, 11, 25)
	file, now := files[10], texts[10]
	random := rand.New(rand.NewPCG(3, 4))
	noticed, opened := 0, 0
	judge := func(damaged []byte, open bool) {
		if err := checkedLedger(damaged); err != nil {
			require.True(t, errors.Is(err, errBroken) || errors.Is(err, errLayout), err.Error())
			if noticed++; noticed%100 == 0 {
				notice, _ := mustOpenLedger(t, damaged)
				require.NotEmpty(t, notice)
			}
			return
		}
		if open {
			opened++
			require.Equal(t, now, mustSay(t, damaged))
		}
	}
	for i := 0; i < len(file); i++ { // one bit
		if i > 8192 {
			i = min(i+random.IntN(24), len(file)-1) // the roots byte for byte
		}
		bit := byte(1) << random.IntN(8)
		file[i] ^= bit
		judge(file, random.IntN(100) == 0 || i < 8192 && i%4096 < 100) // the roots: all of them
		file[i] ^= bit
	}
	for range 1200 { // several bytes, sectors of zeros, of garbage, and of another place
		damaged := bytes.Clone(file)
		for range 1 + random.IntN(3) {
			at, n := random.IntN(len(file)/512)*512, 512<<random.IntN(4)
			n = min(n, len(file)-at)
			switch random.IntN(4) {
			case 0:
				damaged[random.IntN(len(file))] = byte(random.Uint32())
			case 1:
				clear(damaged[at : at+n])
			case 2:
				for i := range n {
					damaged[at+i] = byte(random.Uint32())
				}
			case 3:
				copy(damaged[at:at+n], file[random.IntN(len(file)-n):])
			}
		}
		judge(damaged, random.IntN(20) == 0)
	}
	for n := 0; n < len(file); n += 1 + random.IntN(300) {
		judge(file[:n], random.IntN(20) == 0)
	}
	t.Logf("%d bytes, %d noticed, %d of the others opened", len(file), noticed, opened)
	require.Greater(t, noticed, 1000)
	require.Greater(t, opened, 20)
}

// A disk that loses the write of a page: what stood there before is sound by
// itself. Only where the very last root is lost the ledger is what it was one
// write before; nothing in the file can tell that from a crash before it.
func TestLostWrites(t *testing.T) {
	files, texts := filledLedger(t, 18, 70)
	last := len(files) - 1
	size, noticed, same, before := os.Getpagesize(), 0, 0, 0
	for at := 0; at < len(files[last]); at += size {
		for i := range last {
			if len(files[i]) < at+size || bytes.Equal(files[i][at:at+size], files[last][at:at+size]) {
				continue
			}
			mixed := bytes.Clone(files[last])
			copy(mixed[at:], files[i][at:at+size])
			if checkedLedger(mixed) != nil {
				noticed++
				continue
			}
			text := mustSay(t, mixed)
			if text == texts[last] {
				same++
				continue
			}
			before++
			require.Less(t, at, 2*size, "a root")
			require.Equal(t, texts[last-1], text)
		}
	}
	t.Logf("%d noticed, %d of no account, %d one write before", noticed, same, before)
	require.Greater(t, noticed, 50)
	require.LessOrEqual(t, before, 1)
}

// A ledger that is cut off while it is open ends no program, and is not taken
// for an empty one.
func TestALedgerThatIsCutOffLater(t *testing.T) {
	files, _ := filledLedger(t, 20, 80)
	dir := t.TempDir()
	name := filepath.Join(dir, ledgerName)
	require.NoError(t, os.WriteFile(name, files[19], 0o600))
	s, err := Open(dir)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(name, 8192))
	_, err = s.Reservations()
	require.ErrorIs(t, err, errBroken)
	require.ErrorContains(t, err, "start allocsync again: it sets such a file aside")
	require.Error(t, s.ChangeReservations([]Reservation{inLedger(300, 1)}, nil))
	_, err = s.AddPass(Pass{})
	require.NoError(t, err, "the history goes on")
}

func FuzzCheckLedger(f *testing.F) {
	files, texts := filledLedger(f, 8, 30)
	file, now := files[7], texts[7]
	f.Add(uint32(0), []byte{1})
	f.Add(uint32(4096+16), []byte("garbage"))
	f.Add(uint32(16384+8), []byte{1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, at uint32, text []byte) {
		damaged := bytes.Clone(file)
		for i, b := range text {
			damaged[(int(at)+i)%len(damaged)] ^= b
		}
		if err := checkedLedger(damaged); err != nil {
			require.True(t, errors.Is(err, errBroken) || errors.Is(err, errLayout), err.Error())
			return
		}
		if len(text) > 0 && text[0]%16 == 0 { // opening takes long
			notice, got := mustOpenLedger(t, damaged)
			require.Empty(t, notice)
			require.Equal(t, now, got)
		}
	})
}
