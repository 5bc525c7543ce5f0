package state

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// Bounds of the history of utilisation.
const (
	maxSeries   = 2000
	maxSamples  = 400 // of one series
	sampleSpan  = 90 * 24 * time.Hour
	sampleEvery = sampleSpan / maxSamples // what they are apart in the end
	maxName     = 400                     // bytes of a series' name that are its key as they are
	firstYear   = 2020                    // a clock that says less was never set
	lastYear    = 2199
)

// Sample is how full something was at one moment.
type Sample struct {
	At       time.Time // kept in whole seconds
	Used     float64
	Capacity float64
}

// points are samples as they are written: Unix time, used, capacity. What a
// later version may add behind is passed over.
type points [][]float64

func pointsOf(list []Sample) points {
	out := make(points, len(list))
	all := make([]float64, 3*len(list))
	for i, x := range list {
		out[i] = all[3*i : 3*i+3 : 3*i+3]
		out[i][0], out[i][1], out[i][2] = float64(x.At.Unix()), x.Used, x.Capacity
	}
	return out
}

func (p points) samples() ([]Sample, error) {
	list := make([]Sample, len(p))
	for i, x := range p {
		if len(x) < 3 || math.Abs(x[0]) > math.MaxInt32*10 {
			return nil, errors.New("a sample is three numbers, the first of them a time")
		}
		list[i] = Sample{At: time.Unix(int64(x[0]), 0), Used: x[1], Capacity: x[2]}
	}
	return list, nil
}

// AddSample adds to one series; see AddSamples.
func (s *Store) AddSample(series string, x Sample) error {
	return s.AddSamples(map[string]Sample{series: x})
}

// AddSamples adds one sample to each series, all at once.
//
// A series keeps at most 400 samples of 90 days, thinned so that they are as
// far apart as they can be, and always the newest. One that repeats the last
// one within five hours is not written. Of samples that are not finite or
// not of this century nothing is kept; samples that a clock wrongly put after x are
// dropped. Beyond 2,000 series those go that were longest without a sample.
func (s *Store) AddSamples(added map[string]Sample) error {
	if s == nil || len(added) == 0 {
		return nil
	}
	names := make([]string, 0, len(added))
	for name, x := range added {
		if finite(x.Used) && finite(x.Capacity) && x.At.Year() >= firstYear && x.At.Year() <= lastYear {
			names = append(names, name)
		}
	}
	slices.Sort(names) // neighbours in the file are written together
	s.sampling.Lock()  // from the reading to the writing
	defer s.sampling.Unlock()
	changed := map[string][]Sample{}
	err := s.view("samples", func(tx *bbolt.Tx) error { // most often there is nothing to write
		b := tx.Bucket([]byte(samplesBucket))
		for _, name := range names {
			list, err := seriesOf(b, seriesKey(name))
			if err != nil {
				return err
			}
			if list, ok := addSample(list, added[name]); ok {
				changed[seriesKey(name)] = list
			}
		}
		return nil
	})
	if err != nil || len(changed) == 0 {
		return err
	}
	return s.update("samples", func(tx *bbolt.Tx) error {
		for key, list := range changed {
			if err := put(tx, samplesBucket, key, pointsOf(list)); err != nil {
				return err
			}
		}
		return dropSeries(tx.Bucket([]byte(samplesBucket)), changed)
	})
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// Samples returns a series, oldest first; nothing where there is none.
func (s *Store) Samples(series string) ([]Sample, error) {
	var list []Sample
	err := s.view("samples", func(tx *bbolt.Tx) (err error) {
		list, err = seriesOf(tx.Bucket([]byte(samplesBucket)), seriesKey(series))
		return err
	})
	return list, err
}

// seriesKey is the name, cut and told apart by a digest where it is long.
func seriesKey(name string) string {
	if len(name) <= maxName && name != "" {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:min(len(name), maxName)] + "\x00" + hex.EncodeToString(sum[:])
}

func seriesOf(b *bbolt.Bucket, key string) ([]Sample, error) {
	sealed := b.Get([]byte(key))
	if sealed == nil {
		return nil, nil
	}
	var list points
	if err := unseal(samplesBucket, key, sealed, &list); err != nil {
		return nil, err
	}
	return list.samples()
}

// addSample returns the series with x, and whether it is worth writing.
func addSample(list []Sample, x Sample) ([]Sample, bool) {
	x.At = x.At.Truncate(time.Second)
	n := len(list)
	for n > 0 && !list[n-1].At.Before(x.At) {
		n--
	}
	if n == len(list) && n > 0 {
		last := list[n-1]
		if last.Used == x.Used && last.Capacity == x.Capacity && x.At.Sub(last.At) < sampleEvery {
			return list, false
		}
	}
	return thin(append(slices.Clone(list[:n]), x)), true
}

// thin drops what is too old, and then, while there are too many, the sample
// whose neighbours are closest to each other. The ends stay.
func thin(list []Sample) []Sample {
	from := list[len(list)-1].At.Add(-sampleSpan)
	list = slices.DeleteFunc(list, func(x Sample) bool { return x.At.Before(from) })
	for len(list) > maxSamples {
		drop, least := 1, time.Duration(math.MaxInt64)
		for i := 1; i < len(list)-1; i++ {
			if gap := list[i+1].At.Sub(list[i-1].At); gap < least {
				drop, least = i, gap
			}
		}
		list = slices.Delete(list, drop, drop+1)
	}
	return list
}

// dropSeries makes room where there are too many series.
func dropSeries(b *bbolt.Bucket, fresh map[string][]Sample) error {
	names := keys(b)
	if len(names) <= maxSeries {
		return nil
	}
	type age struct {
		name string
		last time.Time
	}
	ages := make([]age, 0, len(names))
	for _, name := range names {
		list := fresh[name]
		if list == nil {
			var err error
			if list, err = seriesOf(b, name); err != nil {
				return err
			}
		}
		a := age{name: name}
		if len(list) > 0 {
			a.last = list[len(list)-1].At
		}
		ages = append(ages, a)
	}
	slices.SortFunc(ages, func(a, b age) int { return cmp.Or(a.last.Compare(b.last), cmp.Compare(a.name, b.name)) })
	for _, a := range ages[:len(ages)-maxSeries] {
		if err := b.Delete([]byte(a.name)); err != nil {
			return err
		}
	}
	return nil
}
