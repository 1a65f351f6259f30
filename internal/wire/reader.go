package wire

import (
	"reflect"
	"strings"
	"sync"
	"unsafe"
)

// Reader reads values of any type whose fields have tags. It inspects each type once. It knows
// structs, lists, maps, strings, bools and int64s, and the types that New was given.
type Reader struct {
	given     map[reflect.Type]plan
	documents map[reflect.Type]documented
	ignored   map[reflect.Type][]string
	plans     sync.Map // reflect.Type to plan
}

// plan reads the next value into a field. The pointer points to a value of the type that the plan was
// made for. Values of reflect in its place cost a fifth of the time of reading a long list.
type plan func(s *Scanner, to unsafe.Pointer) error

// A Type tells a [Reader] how to read one more type, or what is documented of a type.
type Type struct {
	of         reflect.Type
	read       func(r *Reader, s *Scanner, to unsafe.Pointer) error
	documented documented
	ignored    []string // members that are documented and not kept
}

// Text is a type that is made from a text. The function returns false if the text has no value.
func Text[T any](parse func(text string) (T, bool)) Type {
	return Bytes(func(text []byte) (T, bool) { return parse(string(text)) }, nil)
}

// Bytes is Text for a type that keeps the text in a form of its own. The bytes are valid until parse
// returns. The items of a list often have the same text, so is, which may be nil, says whether a value
// is what parse would return. Then that value is taken once more.
func Bytes[T any](parse func(text []byte) (T, bool), is func(v T, text []byte) bool) Type {
	t := Custom(func(_ *Reader, s *Scanner, to *T) error {
		text, err := s.Bytes()
		if err != nil || len(text) == 0 {
			return err
		}
		if is != nil && s.before > 0 {
			if last := *(*T)(unsafe.Add(unsafe.Pointer(to), -int(s.before))); is(last, text) {
				*to = last
				return nil
			}
		}
		if v, ok := parse(text); ok {
			*to = v
		}
		return nil
	})
	t.documented.kind = String
	return t
}

// Custom is a type with a read function of its own, because its shape varies.
func Custom[T any](read func(r *Reader, s *Scanner, to *T) error) Type {
	return Type{of: reflect.TypeFor[T](), read: func(r *Reader, s *Scanner, to unsafe.Pointer) error {
		return read(r, s, (*T)(to))
	}}
}

// New makes a reader that knows the given types.
func New(types ...Type) *Reader {
	r := &Reader{
		given: map[reflect.Type]plan{}, documents: map[reflect.Type]documented{}, ignored: map[reflect.Type][]string{},
	}
	for _, t := range types {
		if t.read != nil {
			r.given[t.of] = func(s *Scanner, to unsafe.Pointer) error { return t.read(r, s, to) }
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
	defer s.alone()()
	v := reflect.ValueOf(to)
	return r.planOf(v.Type().Elem())(s, v.UnsafePointer())
}

// alone says that what is read stands in no list. The function that it returns takes that back.
func (s *Scanner) alone() (back func()) {
	before := s.before
	s.before = 0
	return func() { s.before = before }
}

// Of returns a function that reads the next value into a T, as Read does. It saves time if there are
// many of them.
func Of[T any](r *Reader) func(s *Scanner, to *T) error {
	read := r.planOf(reflect.TypeFor[T]())
	return func(s *Scanner, to *T) error {
		before := s.before
		s.before = 0
		err := read(s, unsafe.Pointer(to))
		s.before = before
		return err
	}
}

// ReadObject reads an object, member by member. It calls other first, which returns true if it has
// taken the value. No member is required, because other may have taken what stands in its place.
func (r *Reader) ReadObject(s *Scanner, to any, other func(key []byte) (taken bool, err error)) error {
	defer s.alone()()
	v := reflect.ValueOf(to)
	all, at := r.fieldsOf(v.Type().Elem()), 0
	return s.members(func(key []byte) error {
		if taken, err := other(key); taken || err != nil {
			return err
		}
		return all.read(s, v.UnsafePointer(), key, &at)
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
		l := r.listOf(t)
		return func(s *Scanner, to unsafe.Pointer) error { return l.readInto(s, to) }
	case reflect.Map:
		return r.mapPlan(t)
	default:
		panic("wire: cannot read a " + t.String())
	}
}

func readString(s *Scanner, to unsafe.Pointer) error {
	text, err := s.Bytes()
	if len(text) == 0 {
		return err
	}
	if s.before > 0 {
		if last := *(*string)(unsafe.Add(to, -int(s.before))); last == string(text) {
			*(*string)(to) = last
			return nil
		}
	}
	*(*string)(to) = string(text)
	return err
}

func readBool(s *Scanner, to unsafe.Pointer) error {
	value, ok, err := s.Flag()
	if ok {
		*(*bool)(to) = value
	}
	return err
}

// readInt reads a whole number. It skips a number that an int64 cannot hold.
func readInt(s *Scanner, to unsafe.Pointer) error {
	text, err := s.Text()
	if n, ok := ParseInteger(text); ok {
		*(*int64)(to) = n
	}
	return err
}

// fields are the fields of a struct.
type fields struct {
	byName  map[string]*field // on the wire
	inOrder []*field          // as they are declared, which is how the APIs write them
}

type field struct {
	name   string   // its first name on the wire
	names  []string // all of them
	starts []string // how a member with one of these names begins
	place  int      // in the order
	of     reflect.Type
	offset uintptr
	read   plan
	documented
	required bool
}

// fieldsOf returns the fields of a struct and of the structs that it embeds.
func (r *Reader) fieldsOf(t reflect.Type) *fields {
	if known, ok := r.plans.Load(fieldsKey{t}); ok {
		return known.(*fields)
	}
	all := &fields{byName: map[string]*field{}}
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous || !f.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || name == "" {
			continue
		}
		names := []string{name}
		if also := f.Tag.Get("also"); also != "" {
			names = append(names, strings.Split(also, ",")...)
		}
		starts := make([]string, len(names))
		for i, name := range names {
			starts[i] = `"` + name + `":`
		}
		one := &field{
			name: name, names: names, starts: starts, place: len(all.inOrder),
			of: f.Type, offset: offsetOf(t, f.Index), read: r.planOf(f.Type),
			documented: r.documentedOf(f.Type), required: f.Tag.Get("wire") == "required",
		}
		all.inOrder = append(all.inOrder, one)
		for _, name := range names {
			all.byName[name] = one
		}
	}
	for _, name := range r.ignored[t] {
		all.byName[name] = &field{name: name, read: func(s *Scanner, _ unsafe.Pointer) error { return s.Skip() }}
	}
	r.plans.Store(fieldsKey{t}, all)
	return all
}

// fieldsKey is the key of a type's fields in plans.
type fieldsKey struct{ of reflect.Type }

// offsetOf is where a field is, which may be in an embedded struct.
func offsetOf(t reflect.Type, index []int) (offset uintptr) {
	for _, i := range index {
		f := t.Field(i)
		offset, t = offset+f.Offset, f.Type
	}
	return offset
}

// in is the field in a struct. An ignored member has none.
func (f *field) in(of reflect.Value) reflect.Value {
	return reflect.NewAt(f.of, unsafe.Add(of.Addr().UnsafePointer(), f.offset)).Elem()
}

// find returns the field of a name, or nil. It looks first behind the one that was found last.
func (f *fields) find(key []byte, at *int) *field {
	if *at < len(f.inOrder) {
		for _, name := range f.inOrder[*at].names {
			if name == string(key) {
				*at++
				return f.inOrder[*at-1]
			}
		}
	}
	found := f.byName[string(key)]
	if found != nil {
		*at = found.place + 1
	}
	return found
}

// read reads a member into its field. The place in the order is kept from one member to the next.
func (f *fields) read(s *Scanner, of unsafe.Pointer, key []byte, at *int) error {
	found := f.find(key, at)
	switch {
	case found == nil:
		s.differs(UnknownMember)
		return s.skip()
	case s.watch != nil && found.of != nil:
		return s.compare(found.documented, reflect.NewAt(found.of, unsafe.Add(of, found.offset)).Elem(), found.read)
	}
	return found.read(s, unsafe.Add(of, found.offset))
}

func (r *Reader) structPlan(t reflect.Type) plan {
	all := r.fieldsOf(t)
	return func(s *Scanner, to unsafe.Pointer) error {
		if s.watch != nil {
			return all.readObject(s, to, nil)
		}
		if s.peek() != '{' {
			return s.skip()
		}
		some, err := s.open('}')
		for at := 0; some && err == nil; {
			if err = all.readMember(s, to, &at); err == nil {
				some, err = s.another('}')
			}
		}
		return err
	}
}

// readMember reads a member into its field. As a rule it is the next field, so that is tried before
// the name is even looked for.
func (f *fields) readMember(s *Scanner, of unsafe.Pointer, at *int) error {
	if *at < len(f.inOrder) {
		next := f.inOrder[*at]
		for _, start := range next.starts {
			if s.keyIs(start) {
				*at++
				return next.read(s, unsafe.Add(of, next.offset))
			}
		}
	}
	key, err := s.key()
	if err != nil {
		return err
	}
	return f.read(s, of, key, at)
}

// readObject reads an object into a struct, except for what other takes. It tells which required
// members are missing.
func (f *fields) readObject(s *Scanner, of unsafe.Pointer, other func(key []byte) (taken bool, err error)) error {
	var there map[string]bool
	if s.watch != nil && s.Next() == Object {
		there = map[string]bool{}
	}
	at := 0
	err := s.members(func(key []byte) error {
		if there != nil {
			if one := f.byName[string(key)]; one != nil {
				there[one.name] = there[one.name] || s.Next() != Null // a field may have two names
			}
		}
		if other != nil {
			if taken, err := other(key); taken || err != nil {
				return err
			}
		}
		return f.read(s, of, key, &at)
	})
	if err == nil && there != nil {
		s.tellMissing(f, there)
	}
	return err
}

// mapPlan makes a new map from each object, with an entry for each member that is an object.
func (r *Reader) mapPlan(t reflect.Type) plan {
	read, size := r.planOf(t.Elem()), t.Key().Size()+t.Elem().Size()
	entry := func(s *Scanner, to, item reflect.Value, key []byte) error {
		if s.Next() != Object {
			if s.Next() != Null {
				s.differs(OtherType)
			}
			return s.Skip()
		}
		if err := s.Spend(size); err != nil {
			return err
		}
		name := reflect.ValueOf(string(validUTF8(key))).Convert(t.Key())
		if s.watch != nil {
			s.judge(r.documentedOf(t.Key()), name)
		}
		item.SetZero()
		err := read(s, item.Addr().UnsafePointer())
		to.SetMapIndex(name, item)
		return err
	}
	return func(s *Scanner, at unsafe.Pointer) error {
		if s.Next() != Object {
			return s.Skip()
		}
		defer s.alone()()
		to, item := reflect.NewAt(t, at).Elem(), reflect.New(t.Elem()).Elem()
		to.Set(reflect.MakeMap(t))
		return s.Object(func(key []byte) error {
			if s.watch == nil {
				return entry(s, to, item, key)
			}
			return s.within("*", func() error { return entry(s, to, item, key) })
		})
	}
}
