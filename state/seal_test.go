package state

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func FuzzUnseal(f *testing.F) {
	for _, v := range []any{Pass{Detail: strings.Repeat("x", 30_000)}, pointsOf([]Sample{{At: time.Unix(1e9, 0)}}), heading{}, []Pending{{}}, []Allocation{{}}} {
		sealed, err := seal("b", "k", v)
		require.NoError(f, err)
		f.Add(sealed[0], sealed[sealLength:])
	}
	f.Fuzz(func(t *testing.T, format byte, payload []byte) {
		sealed := append([]byte{format, 0, 0, 0, 0}, payload...)
		sum := checksum("b", "k", sealed)
		sealed[1], sealed[2], sealed[3], sealed[4] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
		require.True(t, sound("b", "k", sealed))
		require.False(t, sound("b", "l", sealed))
		require.False(t, sound("bk", "", sealed))
		for _, v := range []any{&Pass{}, &points{}, &heading{}, &[]Pending{}, &[]Allocation{}} {
			if unseal("b", "k", sealed, v) != nil {
				continue
			}
			if p, ok := v.(*points); ok {
				_, _ = p.samples()
			}
			again, err := seal("b", "k", v)
			if err == nil {
				require.NoError(t, unseal("b", "k", again, v))
			}
		}
	})
}

func TestValuesOfOtherVersions(t *testing.T) {
	sealed, err := sealText("b", "k", []byte(`{"Detail":"d","Later":{"x":[1]},"Sources":[{"Name":"a","New":1}]}`))
	require.NoError(t, err)
	var p Pass
	require.NoError(t, unseal("b", "k", sealed, &p))
	require.Equal(t, Pass{Detail: "d", Sources: []PassSource{{Name: "a"}}}, p)
	require.ErrorIs(t, unseal("b", "k2", sealed, &p), errBroken)
	require.ErrorIs(t, unseal("b", "k", nil, &p), errBroken)
	var list points
	sealed, err = sealText("b", "k", []byte(`[[1,2,3,4],[1]]`))
	require.NoError(t, err)
	require.NoError(t, unseal("b", "k", sealed, &list))
	samples, err := list[:1].samples()
	require.NoError(t, err)
	require.Equal(t, []Sample{{At: time.Unix(1, 0), Used: 2, Capacity: 3}}, samples)
	_, err = list.samples()
	require.ErrorContains(t, err, "a sample is three numbers")
}
