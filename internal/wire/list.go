package wire

import (
	"reflect"
	"sync"
	"unsafe"
)

// How lists are read. The items are read into room that is used again, and copied into a list of
// exactly their size. Otherwise a list of a thousand items would take three times its memory, because
// it grows.

// list reads lists of one type.
type list struct {
	of      reflect.Type
	empty   reflect.Value
	item    plan
	size    uintptr
	objects bool // an item that is not an object is left out
	usual   documented
	rooms   *sync.Pool // of *items
}

// items are the items of a list that is being read. Behind them the room is zero.
type items struct {
	room   reflect.Value // a list as long as the room, in a variable
	first  unsafe.Pointer
	n, cap int
}

const (
	firstItems   = 8
	largestItems = 1 << 20 // bytes of room that are kept
)

// listOf returns how to read a list. An item without a value is left out. An empty object is kept,
// unless its type has a function of its own.
func (r *Reader) listOf(t reflect.Type) *list {
	if known, ok := r.plans.Load(listKey{t}); ok {
		return known.(*list)
	}
	of := t.Elem()
	_, given := r.given[of]
	l := &list{
		of: t, empty: reflect.MakeSlice(t, 0, 0), item: r.planOf(of), size: of.Size(),
		objects: of.Kind() == reflect.Struct && !given, usual: r.documentedOf(of), rooms: &sync.Pool{},
	}
	r.plans.Store(listKey{t}, l)
	return l
}

// listKey is the key of a list in plans.
type listKey struct{ of reflect.Type }

// readInto makes a new list from each list.
func (l *list) readInto(s *Scanner, to unsafe.Pointer) error {
	kind := s.Next()
	if kind != Array && kind != Object {
		return s.skip()
	}
	all := l.room()
	defer l.done(all)
	_, isList, err := l.readItems(s, all)
	if isList || kind == Array {
		l.copyTo(reflect.NewAt(l.of, to).Elem(), all)
	}
	return err
}

// readItems reads a list, and returns how many items came.
func (l *list) readItems(s *Scanner, all *items) (raw int, isList bool, err error) {
	isList, err = s.List(func() error {
		raw++
		return l.readItem(s, all)
	})
	return raw, isList, err
}

// readItem reads the next value, and keeps it unless it is empty.
func (l *list) readItem(s *Scanner, all *items) (err error) {
	if l.objects && s.Next() != Object {
		s.differs(OtherType)
		return s.skip()
	}
	if err := s.Spend(l.size); err != nil {
		return err
	}
	if all.n == all.cap {
		all.resize(2 * all.cap)
	}
	item := unsafe.Add(all.first, uintptr(all.n)*l.size)
	outer := s.before
	s.before = 0
	if all.n > 0 {
		s.before = l.size
	}
	defer func() { s.before = outer }()
	if s.watch == nil {
		err = l.item(s, item)
	} else {
		err = s.compare(l.usual, all.room.Index(all.n), l.item)
	}
	if l.objects || !all.room.Index(all.n).IsZero() {
		all.n++
	}
	return err
}

func (l *list) room() *items {
	all, ok := l.rooms.Get().(*items)
	if !ok {
		all = &items{room: reflect.New(l.of).Elem()}
		all.resize(firstItems)
	}
	return all
}

// resize moves the items into another room.
func (all *items) resize(n int) {
	larger := reflect.MakeSlice(all.room.Type(), n, n)
	reflect.Copy(larger, all.room)
	all.room.Set(larger)
	all.first, all.cap = larger.UnsafePointer(), n
}

// done wipes the room and keeps it for another list.
func (l *list) done(all *items) {
	if uintptr(all.cap)*l.size <= largestItems {
		all.room.SetLen(min(all.n+1, all.cap)) // a panic may have left half an item behind
		all.room.Clear()
		all.room.SetLen(all.cap)
		all.n = 0
		l.rooms.Put(all)
	}
}

// copyTo makes a list of the items.
func (l *list) copyTo(to reflect.Value, all *items) {
	if to.Set(l.empty); all.n > 0 {
		to.SetZero()
		to.Grow(all.n)
		to.SetLen(all.n)
		reflect.Copy(to, all.room)
	}
}

// ReadItem appends the next value to the list that to points at, unless the value is empty.
func (r *Reader) ReadItem(s *Scanner, to any) error {
	v := reflect.ValueOf(to).Elem()
	l := r.listOf(v.Type())
	all := l.room()
	defer l.done(all)
	err := l.readItem(s, all)
	v.Set(reflect.AppendSlice(v, all.room.Slice(0, all.n)))
	return err
}
