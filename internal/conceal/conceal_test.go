package conceal

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each text comes back, whatever its length and its bytes are, also if its source was changed.
func TestTexts(t *testing.T) {
	for size := range 200 {
		for _, of := range []string{"a", "\x00", "\xff", "ä"} {
			text := strings.Repeat(of, size)
			source := []byte(text)
			fromBytes := Of(source)
			clear(source)
			require.Equal(t, text, fromBytes.Reveal(), "%d of %q", size, of)
			require.Equal(t, text, Of(text).Reveal(), "%d of %q", size, of)
			require.Equal(t, Of(text), fromBytes)
			require.Equal(t, text == "", fromBytes.IsZero())
		}
	}
	require.Empty(t, Text{}.Reveal())
	require.Equal(t, Text{}, Of(""))
}

// The pointer keeps the text from the garbage collector.
func TestTextsAreKept(t *testing.T) {
	const texts = 10_000
	var all []Text
	for i := range texts {
		all = append(all, Of(fmt.Sprintf("the text %d", i)))
	}
	for range 3 {
		runtime.GC()
		garbage := make([][]byte, texts)
		for i := range garbage { // whatever was freed is written over
			garbage[i] = []byte(strings.Repeat("x", 8+i%24))
		}
	}
	for i, text := range all {
		require.Equal(t, fmt.Sprintf("the text %d", i), text.Reveal())
	}
}

// reflect.DeepEqual compares the texts.
func TestEqualTexts(t *testing.T) {
	texts := []string{"", "a", "b", "a\x00", "000123456789", "000123456780", strings.Repeat("long ", 50)}
	for _, one := range texts {
		for _, other := range texts {
			equal := reflect.DeepEqual(Of(one), Of(strings.Clone(other)))
			require.Equal(t, one == other, equal, "%q and %q", one, other)
		}
	}
}

// Reflection finds neither the text nor its size.
func TestNothingIsFound(t *testing.T) {
	v := reflect.ValueOf(Of("Jane Roe"))
	require.Equal(t, 2, v.NumField())
	require.Equal(t, reflect.Uint64, v.Field(0).Kind())
	require.Equal(t, reflect.Pointer, v.Field(1).Kind())
	require.Equal(t, 0, v.Field(1).Elem().Len())
}

func FuzzTexts(f *testing.F) {
	f.Add("", "a")
	f.Add("Jane Roe", "Jane Roe\x00")
	f.Fuzz(func(t *testing.T, one, other string) {
		require.Equal(t, one, Of(one).Reveal())
		require.Equal(t, one == other, reflect.DeepEqual(Of(one), Of(other)))
	})
}
