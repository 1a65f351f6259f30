package wire

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// row is an item with everything that lists are made of.
type row struct {
	base
	Upper  upper            `json:"upper"`
	Inner  inner            `json:"inner"`
	Texts  []string         `json:"texts"`
	Rows   []row2           `json:"rows"`
	ByName map[string]inner `json:"by_name"`
}

type row2 struct {
	Name  string   `json:"name"`
	Inner inner    `json:"inner"`
	Texts []string `json:"texts"`
}

// rowText is the i-th item of a list, in which many texts are those of the item before.
func rowText(i int) string {
	return fmt.Sprintf(`{"id":"%d","name":"group %d","upper":"u%d","inner":{"value":"v%d"},"texts":["a","a","t%d"],`+
		`"rows":[{"name":"n","inner":{"value":"w%d"},"texts":["x"]},{"name":"n"},{"inner":{"value":"w%d"}}],`+
		`"by_name":{"k":{"value":"m"},"l":{"value":"m%d"}}}`, i, i/10, i/3, i/2, i/5, i/4, i/4, i/7)
}

func wantRow(i int) row {
	n := func(name string, by int) string { return fmt.Sprintf("%s%d", name, i/by) }
	return row{
		base:  base{ID: n("", 1), Name: n("group ", 10)},
		Upper: upper{strings.ToUpper(n("u", 3))}, Inner: inner{n("v", 2)}, Texts: []string{"a", "a", n("t", 5)},
		Rows:   []row2{{"n", inner{n("w", 4)}, []string{"x"}}, {Name: "n"}, {Inner: inner{n("w", 4)}}},
		ByName: map[string]inner{"k": {"m"}, "l": {n("m", 7)}},
	}
}

// Lists of all lengths have their items, in order, from several goroutines at once. What one list
// leaves behind is not in the next.
func TestLists(t *testing.T) {
	r := newReader()
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for n := worker; n < 100; n += 3 {
				var texts []string
				want := []row{}
				for i := range n {
					texts = append(texts, rowText(i))
					want = append(want, wantRow(i))
				}
				var got []row
				if err := r.Read(Document([]byte("["+strings.Join(texts, ",")+"]"), 1<<20), &got); err != nil {
					t.Error(err)
					return
				}
				if !equal(want, got) {
					t.Errorf("%d items: %v", n, got)
				}
			}
		})
	}
	all.Wait()
}

func equal(want, got any) bool { return fmt.Sprintf("%#v", want) == fmt.Sprintf("%#v", got) }

// Items that come after each other share equal texts. A list is as long as its items, and has no room
// for many more.
func TestItemsShareTexts(t *testing.T) {
	const items = 1000
	text := strings.Repeat(`{"id":"1","name":"the same"},`, items)
	var got []base
	require.NoError(t, newReader().Read(Document([]byte("["+text[:len(text)-1]+"]"), 1<<20), &got))
	require.Len(t, got, items)
	require.LessOrEqual(t, cap(got), items*11/10)
	for _, b := range got {
		require.Equal(t, "the same", b.Name)
		require.Same(t, unsafe.StringData(got[0].Name), unsafe.StringData(b.Name))
	}
}

// An item that is left out gives nothing to the next one.
func TestItemsThatAreLeftOut(t *testing.T) {
	read := func(body string, to any) {
		require.NoError(t, newReader().Read(Document([]byte(body), 0), to), body)
	}
	var texts []string
	read(`["a",null,"",[],"a","b",{"a":"b"}]`, &texts)
	require.Equal(t, []string{"a", "a", "b"}, texts)
	var objects []inner
	read(`[{"value":"a"},null,{},5,{"value":"a"}]`, &objects)
	require.Equal(t, []inner{{"a"}, {}, {"a"}}, objects)
	var given []upper
	read(`["a",null,"a",["x"],"A"]`, &given)
	require.Equal(t, []upper{{"A"}, {"A"}, {"A"}}, given)
}
