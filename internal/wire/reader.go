package wire

import (
	"reflect"
	"strings"
	"sync"
)

// Reader reads values of any type whose fields have tags. It inspects each type once. It knows
// structs, lists, maps, strings, bools and int64s, and the types that New was given.
type Reader struct {
	given     map[reflect.Type]plan
	documents map[reflect.Type]documented
	ignored   map[reflect.Type][]string
	plans     sync.Map // reflect.Type to plan
}

// plan reads the next value into a field.
type plan func(s *Scanner, to reflect.Value) error

// A Type tells a [Reader] how to read one more type, or what is documented of a type.
type Type struct {
	of         reflect.Type
	read       func(r *Reader, s *Scanner, to reflect.Value) error
	documented documented
	ignored    []string // members that are documented and not kept
}

// Text is a type that is made from a text. The function returns false if the text has no value.
func Text[T any](parse func(text string) (T, bool)) Type {
	return Bytes(func(text []byte) (T, bool) { return parse(string(text)) })
}

// Bytes is Text for a type that keeps the text in a form of its own. The bytes are valid until parse
// returns.
func Bytes[T any](parse func(text []byte) (T, bool)) Type {
	read := func(_ *Reader, s *Scanner, to reflect.Value) error {
		text, err := s.Bytes()
		if err != nil || len(text) == 0 {
			return err
		}
		if v, ok := parse(text); ok {
			*to.Addr().Interface().(*T) = v
		}
		return nil
	}
	return Type{of: reflect.TypeFor[T](), documented: documented{kind: String}, read: read}
}

// Custom is a type with a read function of its own, because its shape varies.
func Custom[T any](read func(r *Reader, s *Scanner, to *T) error) Type {
	return Type{of: reflect.TypeFor[T](), read: func(r *Reader, s *Scanner, to reflect.Value) error {
		return read(r, s, to.Addr().Interface().(*T))
	}}
}

// New makes a reader that knows the given types.
func New(types ...Type) *Reader {
	r := &Reader{
		given: map[reflect.Type]plan{}, documents: map[reflect.Type]documented{}, ignored: map[reflect.Type][]string{},
	}
	for _, t := range types {
		if t.read != nil {
			r.given[t.of] = func(s *Scanner, to reflect.Value) error { return t.read(r, s, to) }
		}
		if t.documented.kind != Invalid {
			r.documents[t.of] = t.documented
		}
		r.ignored[t.of] = append(r.ignored[t.of], t.ignored...)
	}
	return r
}

// Read reads the next value into what to points at. It keeps what is there unless the value
// replaces it.
func (r *Reader) Read(s *Scanner, to any) error {
	v := reflect.ValueOf(to).Elem()
	return r.planOf(v.Type())(s, v)
}

// ReadObject reads an object, member by member. It calls other first, which returns true if it has
// taken the value. No member is required, because other may have taken what stands in its place.
func (r *Reader) ReadObject(s *Scanner, to any, other func(key []byte) (taken bool, err error)) error {
	v := reflect.ValueOf(to).Elem()
	all := r.fieldsOf(v.Type())
	return s.members(func(key []byte) error {
		if taken, err := other(key); taken || err != nil {
			return err
		}
		return all.read(s, v, key)
	})
}

func (r *Reader) planOf(t reflect.Type) plan {
	if known, ok := r.plans.Load(t); ok {
		return known.(plan)
	}
	p := r.newPlan(t)
	r.plans.Store(t, p)
	return p
}

func (r *Reader) newPlan(t reflect.Type) plan {
	if p, ok := r.given[t]; ok {
		return p
	}
	switch t.Kind() {
	case reflect.String:
		return readString
	case reflect.Bool:
		return readBool
	case reflect.Int64:
		return readInt
	case reflect.Struct:
		return r.structPlan(t)
	case reflect.Slice:
		return r.listPlan(t)
	case reflect.Map:
		return r.mapPlan(t)
	default:
		panic("wire: cannot read a " + t.String())
	}
}

func readString(s *Scanner, to reflect.Value) error {
	text, err := s.Text()
	if text != "" {
		to.SetString(text)
	}
	return err
}

func readBool(s *Scanner, to reflect.Value) error {
	value, ok, err := s.Flag()
	if ok {
		to.SetBool(value)
	}
	return err
}

// readInt reads a whole number. It skips a number that an int64 cannot hold.
func readInt(s *Scanner, to reflect.Value) error {
	text, err := s.Text()
	if n, ok := ParseInteger(text); ok {
		to.SetInt(n)
	}
	return err
}

// fields are the fields of a struct, by their names on the wire.
type fields map[string]*field

type field struct {
	name  string // its first name on the wire
	index []int
	read  plan
	documented
	required bool
}

// fieldsOf returns the fields of a struct and of the structs that it embeds.
func (r *Reader) fieldsOf(t reflect.Type) fields {
	if known, ok := r.plans.Load(fieldsKey{t}); ok {
		return known.(fields)
	}
	all := fields{}
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous || !f.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || name == "" {
			continue
		}
		one := &field{name, f.Index, r.planOf(f.Type), r.documentedOf(f.Type), f.Tag.Get("wire") == "required"}
		all[name] = one
		for other := range strings.SplitSeq(f.Tag.Get("also"), ",") {
			if other != "" {
				all[other] = one
			}
		}
	}
	for _, name := range r.ignored[t] {
		all[name] = &field{name: name, read: func(s *Scanner, _ reflect.Value) error { return s.Skip() }}
	}
	r.plans.Store(fieldsKey{t}, all)
	return all
}

// fieldsKey is the key of a type's fields in plans.
type fieldsKey struct{ of reflect.Type }

func (f fields) read(s *Scanner, of reflect.Value, key []byte) error {
	found, ok := f[string(key)]
	switch {
	case !ok:
		s.differs(UnknownMember)
		return s.Skip()
	case s.watch != nil:
		return s.compare(found.documented, of.FieldByIndex(found.index), found.read)
	case len(found.index) == 1:
		return found.read(s, of.Field(found.index[0]))
	default:
		return found.read(s, of.FieldByIndex(found.index))
	}
}

func (r *Reader) structPlan(t reflect.Type) plan {
	all := r.fieldsOf(t)
	return func(s *Scanner, to reflect.Value) error {
		if s.watch != nil {
			return all.readObject(s, to, nil)
		}
		return s.Object(func(key []byte) error { return all.read(s, to, key) })
	}
}

// readObject reads an object into a struct, except for what other takes. It tells which required
// members are missing.
func (f fields) readObject(s *Scanner, of reflect.Value, other func(key []byte) (taken bool, err error)) error {
	var there map[string]bool
	if s.watch != nil && s.Next() == Object {
		there = map[string]bool{}
	}
	err := s.members(func(key []byte) error {
		if one := f[string(key)]; there != nil && one != nil {
			there[one.name] = there[one.name] || s.Next() != Null // a field may have two names
		}
		if other != nil {
			if taken, err := other(key); taken || err != nil {
				return err
			}
		}
		return f.read(s, of, key)
	})
	if err == nil && there != nil {
		s.tellMissing(f, there)
	}
	return err
}

// ReadItem appends the next value to the list that to points at, unless the value is empty.
func (r *Reader) ReadItem(s *Scanner, to any) error {
	v := reflect.ValueOf(to).Elem()
	return r.itemPlan(v.Type().Elem())(s, v)
}

// itemPlan appends an item to a list. An item without a value is left out. An empty object is kept,
// unless its type has a function of its own.
func (r *Reader) itemPlan(t reflect.Type) plan {
	_, given := r.given[t]
	read, objects, size := r.planOf(t), t.Kind() == reflect.Struct && !given, t.Size()
	usual := r.documentedOf(t)
	return func(s *Scanner, list reflect.Value) error {
		if objects && s.Next() != Object {
			s.differs(OtherType)
			return s.Skip()
		}
		if err := s.Spend(size); err != nil {
			return err
		}
		last := list.Len()
		list.Grow(1)
		list.SetLen(last + 1)
		item := list.Index(last)
		item.SetZero()
		var err error
		if s.watch == nil {
			err = read(s, item)
		} else {
			err = s.compare(usual, item, read)
		}
		if !objects && item.IsZero() {
			list.SetLen(last)
		}
		return err
	}
}

// listPlan makes a new list from each list.
func (r *Reader) listPlan(t reflect.Type) plan {
	item := r.itemPlan(t.Elem())
	return func(s *Scanner, to reflect.Value) error {
		kind, before := s.Next(), to
		switch kind {
		case Array:
		case Object: // which may be no list, as it turns out
			before = reflect.ValueOf(to.Interface())
		default:
			return s.Skip()
		}
		to.Set(reflect.MakeSlice(t, 0, 0))
		isList, err := s.List(func() error { return item(s, to) })
		if !isList && kind == Object {
			to.Set(before)
		}
		return err
	}
}

// mapPlan makes a new map from each object, with an entry for each member that is an object.
func (r *Reader) mapPlan(t reflect.Type) plan {
	read, size := r.planOf(t.Elem()), t.Key().Size()+t.Elem().Size()
	entry := func(s *Scanner, to reflect.Value, key []byte) error {
		if s.Next() != Object {
			if s.Next() != Null {
				s.differs(OtherType)
			}
			return s.Skip()
		}
		if err := s.Spend(size); err != nil {
			return err
		}
		name := reflect.ValueOf(validUTF8(key)).Convert(t.Key())
		if s.watch != nil {
			s.judge(r.documentedOf(t.Key()), name)
		}
		item := reflect.New(t.Elem()).Elem()
		err := read(s, item)
		to.SetMapIndex(name, item)
		return err
	}
	return func(s *Scanner, to reflect.Value) error {
		if s.Next() != Object {
			return s.Skip()
		}
		to.Set(reflect.MakeMap(t))
		return s.Object(func(key []byte) error {
			if s.watch == nil {
				return entry(s, to, key)
			}
			return s.within("*", func() error { return entry(s, to, key) })
		})
	}
}
